"""The `scripted` model: from a conversation and the declared tools to tool calls and an answer, by rules alone.

It answers in English, Japanese or Chinese, in a sentence that names what the message was about. It draws when a picture
is wanted, calculates, calls the declared functions a message asks for, and knows what was said earlier in the thread.
What it cannot do it says: it runs no code, searches nothing and looks into no document.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from runner.embedded import plugins
from runner.embedded.objects import Json, dumps
from runner.model import Sample, SampleCall
from runner.values import dataclass

if TYPE_CHECKING:
    from runner.embedded.calling import Wanted

__all__ = [
    "FunctionCall",
    "Line",
    "Question",
    "Reply",
    "ToolUse",
    "answer",
    "tokens",
]


@dataclass(frozen=True, slots=True)
class Line:
    """Something said in the thread, by `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call of a function and the output its caller sent; `arguments` is JSON."""

    id: str
    name: str
    arguments: str
    output: str


@dataclass(frozen=True, slots=True)
class Question:
    """All the model knows. `rounds` are this run's calls of functions so far, action by action, `uses` the service's own tools
    before them; `sample` is an answer to play as it stands."""

    instructions: str
    tools: Sequence[Json]
    history: Sequence[Line]
    now: float
    sample: Sample | None = None
    rounds: Sequence[Sequence[AnsweredCall]] = ()
    uses: Sequence["ToolUse"] = ()


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool of the service, used."""

    tool: str
    arguments: Json
    output: Json


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function of the caller's, to be answered by the caller."""

    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model does: uses tools, then either asks for `calls` or says `text`."""

    text: str
    uses: tuple[ToolUse, ...] = ()
    calls: tuple[FunctionCall, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0


Draw = Callable[[str], str]
"""Makes a picture of a prompt; gives its URL."""

# Patterns are compiled when a rule needs them: all of them together would slow every start.
READ = 2000
"""How many characters of a message the rules look at; beyond, patterns would take long."""


def answer(question: Question, draw: Draw) -> Reply:
    """The reply to what the user said since the assistant spoke last."""
    said = [line.text[:READ] for line in question.history if line.role == "user"]
    asked = len(list(takewhile(lambda line: line.role == "user", reversed(question.history))))
    earlier, message = said[: len(said) - asked], "\n".join(said[len(said) - asked :])
    spoken_in = next((text for text in (message, *reversed(earlier)) if re.search(r"[^\W\d_]", text)), "")
    language = wanted_language(question.instructions) or language_of(spoken_in)
    reply = decide(question, message, earlier, language, draw)
    outputs = [call.output for calls in question.rounds for call in calls]
    read = [question.instructions, *(line.text for line in question.history), *outputs]
    said_to_tools = [one.arguments for one in reply.uses] + [one.arguments for one in reply.calls]
    written = [reply.text, *map(dumps, said_to_tools)]
    return replace(reply, input_tokens=sum(map(tokens, read)), output_tokens=sum(map(tokens, written)))


def decide(question: Question, message: str, earlier: Sequence[str], language: str, draw: Draw) -> Reply:
    """The sample first, then outputs of functions, functions that are asked for, the service's own tools, plain words."""
    say = SENTENCES[language]
    sample = question.sample.text if question.sample else None
    if question.sample and question.sample.calls:
        return played(question.sample, question, say, draw, message)
    if question.rounds:
        return Reply(sample or " ".join(told(call, say) for calls in question.rounds for call in calls))
    asked = None if question.sample else asked_for_functions(question, message, earlier, say)
    if asked:
        return asked
    for rule in (picture, calculation, code, search, documents):
        reply = rule(Request(question, message, earlier, language, draw))
        if reply:
            return replace(reply, text=sample or reply.text)
    return Reply(sample or conversation(message, earlier, say) + in_another_language(question.instructions))


@dataclass(frozen=True, slots=True)
class Request:
    """What the rules for the service's tools look at."""

    question: Question
    message: str
    earlier: Sequence[str]
    language: str
    draw: Draw

    def declared(self, *types: str) -> str | None:
        """The first of these tools that the assistant has."""
        offered = [tool.get("type") for tool in self.question.tools]
        return next((kind for kind in types if kind in offered), None)

    def say(self, sentence: str, **values: str) -> str:
        return SENTENCES[self.language][sentence].format(**values)


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TOKEN = r"https?://\S+|[\u2e80-\U0003ffff]|[^\W_]+|[^\w\s]"


def tokens(text: str) -> int:
    """How many tokens a text counts: one for each word, number, sign and URL, and for each Han, kana or hangul character."""
    return len(re.findall(TOKEN, re.sub(WIDE, r" \g<0> ", text)))


# ── languages ────────────────────────────────────────────────────────────────────────────────────────────────────────

WIDE = r"[\u2e80-\U0003ffff]"
KANA = r"[\u3040-\u30ff]"
HAN = r"[\u3400-\u9fff]"
ASKED_LANGUAGE = (
    r"\b(?i:answer|reply|respond|speak|write)\b[^.!?\n]{0,40}?\b[Ii]n (English|Japanese|Chinese|French|German|Spanish|Italian"
    r"|Portuguese|Dutch|Polish|Russian|Turkish|Arabic|Hindi|Korean|Thai|Vietnamese|Indonesian)\b"
    r"|(日本語|英語|中国語)で|用(中文|汉语|英文|英语|日语|日文)"
)
LANGUAGES = {
    "English": "en", "英文": "en", "英语": "en", "英語": "en",
    "Japanese": "ja", "日本語": "ja", "日语": "ja", "日文": "ja",
    "Chinese": "zh", "中文": "zh", "汉语": "zh", "中国語": "zh",
}  # fmt: skip


def language_of(text: str) -> str:
    return "ja" if re.search(KANA, text) else "zh" if re.search(HAN, text) else "en"


def asked_language(instructions: str) -> str:
    """The language the instructions ask for by name, or nothing."""
    match = re.search(ASKED_LANGUAGE, instructions)
    return next(filter(None, match.groups())) if match else ""


def wanted_language(instructions: str) -> str | None:
    return LANGUAGES.get(asked_language(instructions))


def in_another_language(instructions: str) -> str:
    name = asked_language(instructions)
    if not name or name in LANGUAGES:
        return ""
    return f" (Asked for {name}; this script speaks English, Japanese and Chinese.)"


SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "picture": "Here is a picture of {subject}.",
        "calculation": "{formula} = {result}.",
        "uncalculable": "{formula} has no result: {result}.",
        "code": "The embedded service does not run code, so nothing was executed. You asked: {topic}.",
        "search": "The embedded service does not search the web; this is a canned result about {topic}.",
        "documents": "The embedded service has no documents to look into; you asked about {topic}.",
        "output": "According to {name}: {output}.",
        "failed": "{name} failed: {error}.",
        "nothing": "{name} gave no output.",
        "missing": "To call {name}, I need: {names}.",
        "met": "Nice to meet you, {value}.",
        "learned": "I will remember that your {name} is {value}.",
        "known": "Your {name} is {value}.",
        "unknown": "You have not told me your {name}.",
        "greeting": "Hello! What would you like to talk about?",
        "answer": "About {topic}: a model would answer here; the embedded service follows a script.",
        "continued": "About {topic} ({before}): a model would answer here; the embedded service follows a script.",
        "silence": "There is no message in this thread yet.",
    },
    "ja": {
        "picture": "{subject}の絵です。",
        "calculation": "{formula} = {result} です。",
        "uncalculable": "{formula} は計算できません（{result}）。",
        "code": "内蔵サービスはコードを実行しないため、何も実行していません。ご依頼：{topic}",
        "search": "内蔵サービスはウェブを検索しません。「{topic}」についての決まった結果です。",
        "documents": "内蔵サービスには参照できる文書がありません。ご質問：{topic}",
        "output": "{name} によると、{output} です。",
        "failed": "{name} は失敗しました：{error}。",
        "nothing": "{name} の結果は空でした。",
        "missing": "{name} を呼び出すには、次の情報が必要です：{names}。",
        "met": "{value}さん、はじめまして。",
        "learned": "{name}は{value}ですね。覚えておきます。",
        "known": "あなたの{name}は{value}です。",
        "unknown": "{name}はまだうかがっていません。",
        "greeting": "こんにちは。ご用件をどうぞ。",
        "answer": "「{topic}」についてですね。内蔵サービスは台本どおりに答えており、モデルは使っていません。",
        "continued": "「{topic}」（{before}）についてですね。内蔵サービスは台本どおりに答えており、モデルは使っていません。",
        "silence": "このスレッドにはまだメッセージがありません。",
    },
    "zh": {
        "picture": "这是{subject}的图片。",
        "calculation": "{formula} = {result}。",
        "uncalculable": "{formula} 无法计算：{result}。",
        "code": "内置服务不会运行代码，因此没有执行任何内容。您的请求：{topic}",
        "search": "内置服务不会搜索网络，这是关于“{topic}”的固定结果。",
        "documents": "内置服务没有可查阅的文档。您的问题：{topic}",
        "output": "{name} 的结果：{output}。",
        "failed": "{name} 失败：{error}。",
        "nothing": "{name} 没有返回结果。",
        "missing": "要调用 {name}，还需要：{names}。",
        "met": "很高兴认识你，{value}。",
        "learned": "好的，我记住了，你的{name}是{value}。",
        "known": "你的{name}是{value}。",
        "unknown": "你还没有告诉我你的{name}。",
        "greeting": "你好！想聊些什么？",
        "answer": "关于“{topic}”：内置服务按脚本作答，没有调用模型。",
        "continued": "关于“{topic}”（{before}）：内置服务按脚本作答，没有调用模型。",
        "silence": "这个对话里还没有消息。",
    },
}


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WANTED = (
    r"(?i)\b(?:draw|paint|sketch|illustrate|picture|image|painting|drawing|illustration|photo|portrait)s?\b"
    r"|描|絵|画像|イラスト|画|畫|绘|[图圖](?!书|書)"
)
UNWANTED = (
    r"(?i)\b(?:don't|do not|never|without|no)\b[^.!?\n]{0,20}\b(?:draw|paint|picture|image|drawing)|(?:不要|别|不用)画|描かない"
)
QUESTION = r"(?i)^\W*(?:how|what|who|why|when|where|which)\b|什么|怎么|为什么|谁|如何|哪|何|どう|なぜ|誰"
OF = r"(?i)\b(?:picture|image|painting|drawing|illustration|photo|portrait|sketch)s?\s+(?:of|with|showing|about)\s+([^.!?\n]+)"
VERB = r"(?i)\b(?:draw|paint|sketch|illustrate|create|make|generate|show)\b(?:\s+(?:me|us)\b)?\s+([^.!?\n]+)"
CHANGED = (
    r"(?i)\b(?:make|paint|colou?r|turn|draw|give|put|show)\s+(?:it|them|that|this|him|her)\b\s*([^.!?\n]*)"
    r"|^(?:それを|これを|その絵を|絵を)?([^。！？\n]+?)して"
    r"|(?:把[它他她][们]?)?(?:变成|改成|换成|涂成|画成)([^。！？\n]+)"
)
OF_JA = r"([^。！？、\n]+?)の(?:絵|画像|イラスト|写真)"
VERB_JA = r"([^。！？、\n]+?)を(?:描|えが|かい)"
VERB_ZH = r"(?:画|畫|绘制|生成|创作)(?:[一两三几]?[张幅副個个只])?([^。！？，\n]+)"
OF_ZH = r"的(?:图片|图像|插图|照片|图画|画像|图|圖|画|畫)$"


def picture(request: Request) -> Reply | None:
    tool = request.declared("text_to_image", "wanx")
    subject = next_subject(request.message, drawn(request.earlier)) if tool else ""
    if tool is None or not subject:
        return None
    url = request.draw(subject)
    text = pictured(subject, url, SENTENCES[request.language])
    return Reply(text, (ToolUse(tool, {"prompt": subject}, plugins.painted(url, request.question.now)),))


BRACKETS = str.maketrans("[]", "()")


def drawn(texts: Sequence[str]) -> str:
    """What the pictures asked for in these messages are of by now, or nothing."""
    subject = ""
    for text in texts:
        subject = next_subject(text, subject) or subject
    return subject


def next_subject(message: str, before: str) -> str:
    """What picture this message wants, or nothing; `before` is the subject of the one before it."""
    if re.search(UNWANTED, message):
        return ""
    changed = re.search(CHANGED, message) if before else None
    if changed:
        change = next(filter(None, changed.groups()), "").strip(" ,、，")
        joint = {"ja": "、", "zh": "，", "en": ", "}[language_of(message)]
        return f"{before}{joint}{change}" if change else before
    if not re.search(WANTED, message) or re.search(QUESTION, message):
        return ""
    return subject_of(message)


def subject_of(message: str) -> str:
    """The thing that a message wants drawn; the message itself if it cannot be told."""
    language = language_of(message)
    own = {"ja": (OF_JA, VERB_JA), "zh": (VERB_ZH,), "en": ()}[language]
    match = next(filter(None, (re.search(pattern, message) for pattern in (*own, OF, VERB))), None)
    subject = match[1] if match else topic(message)
    subject = re.sub(OF_ZH, "", subject) if language == "zh" else subject
    return re.sub(r"[,\s]*\bplease$", "", subject, flags=re.IGNORECASE).strip(" ,、，\"'“”「」")


# ── calculating ──────────────────────────────────────────────────────────────────────────────────────────────────────


def calculation(request: Request) -> Reply | None:
    if not request.declared("calculator"):
        return None
    from runner.embedded.calculator import formula_in

    formula = formula_in(request.message)
    if not formula:
        return None
    output = plugins.calculated(formula)
    use = ToolUse("calculator", {"formula": formula}, output)
    if "error" in output:
        return Reply(request.say("uncalculable", formula=formula, result=output["error"]), (use,))
    return Reply(request.say("calculation", formula=formula, result=output["result"]), (use,))


# ── tools that only say what they would do ───────────────────────────────────────────────────────────────────────────

FENCED = r"(?s)```(\w*)\n(.*?)```"
CODE = r"(?i)\b(?:run|execute|python|code|script)\b|コード|実行|代码|运行|执行"
SEARCH = r"(?i)\b(?:search|look up|news|latest|google|find out)\b|検索|調べ|ニュース|搜索|搜一下|查一下|查找|新闻|最新"
DOCUMENTS = r"(?i)\b(?:documents?|manual|handbook|knowledge|according to)\b|文書|資料|マニュアル|文档|资料|手册|知识库"


def code(request: Request) -> Reply | None:
    fenced = re.search(FENCED, request.message)
    if not request.declared("code_interpreter") or not (fenced or re.search(CODE, request.message)):
        return None
    arguments = {"language": (fenced and fenced[1]) or "python", "code": fenced[2] if fenced else ""}
    return Reply(
        request.say("code", topic=topic(request.message)), (ToolUse("code_interpreter", arguments, plugins.not_run()),)
    )


def search(request: Request) -> Reply | None:
    tool = request.declared("quark_search", "search")
    if tool is None or not re.search(SEARCH, request.message):
        return None
    about = topic(request.message)
    return Reply(request.say("search", topic=about), (ToolUse(tool, {"query": about}, plugins.found(about)),))


def documents(request: Request) -> Reply | None:
    if not request.declared("rag") or not re.search(DOCUMENTS, request.message):
        return None
    about = topic(request.message)
    tool = next(tool for tool in request.question.tools if tool.get("type") == "rag")
    named = placeholders(tool.get("prompt_ra"))
    arguments = dict.fromkeys(named, about) or {"query": about}
    output = {**dict.fromkeys(named.values(), ""), **plugins.no_passages()}
    return Reply(request.say("documents", topic=about), (ToolUse("rag", arguments, output),))


def placeholders(prompt_ra: object) -> Mapping[str, str]:
    """The queries that `prompt_ra` declares, and the placeholder in the instructions that each one's passages stand for."""
    found = prompt_ra
    for key in ("parameters", "properties"):
        found = found.get(key) if isinstance(found, dict) else None
    declared = found.items() if isinstance(found, dict) else ()
    values = {name: one.get("value") for name, one in declared if isinstance(one, dict)}
    return {name: value.removeprefix("${").removesuffix("}") for name, value in values.items() if isinstance(value, str)}


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def asked_for_functions(question: Question, message: str, earlier: Sequence[str], say: Mapping[str, str]) -> Reply | None:
    """The calls that the message asks for, or the question for what it leaves open."""
    if not any(tool.get("type") == "function" for tool in question.tools):
        return None
    from runner.embedded.calling import Said, wanted

    answers = [line.text[:READ] for line in question.history if line.role == "assistant"]
    found = wanted(question.tools, Said(message, topic(message), earlier, answers, question.now))
    if earlier and answers and all(one.missing for one in found):
        # What was left open before may be what this message tells.
        before = wanted(question.tools, Said(earlier[-1], topic(earlier[-1]), earlier[:-1], answers[:-1], question.now))
        if before and any(answers[-1] == missing(before, sentences) for sentences in SENTENCES.values()):
            both = f"{earlier[-1]}\n{before[0].missing[0]}: {message}"
            found = wanted(question.tools, Said(both, topic(message), earlier[:-1], answers[:-1], question.now))
    calls = tuple(FunctionCall(one.name, one.arguments) for one in found if not one.missing)
    if calls:
        return Reply("", calls=calls)
    return Reply(missing(found, say)) if found else None


def missing(found: Sequence["Wanted"], say: Mapping[str, str]) -> str:
    """What has to be told before these functions can be called."""
    return " ".join(say["missing"].format(name=one.name, names=", ".join(one.missing)) for one in found)


def told(call: AnsweredCall, say: Mapping[str, str]) -> str:
    """What came of a call, in a sentence."""
    read = decoded(call.output)
    error = read.get("error") if isinstance(read, dict) else None
    if error:
        return say["failed"].format(name=call.name, error=error if isinstance(error, str) else shortened(spoken(error)))
    if not call.output.strip():
        return say["nothing"].format(name=call.name)
    return say["output"].format(name=call.name, output=shortened(spoken(read)).rstrip("。."))


def decoded(output: str) -> object:
    """What an output says: JSON, its numbers as they are spelled, or text."""
    try:
        read: object = json.loads(output, parse_float=Spelled, parse_int=Spelled, parse_constant=Spelled)
        # What can be read just so may be too deep to be written, or hold half a surrogate pair.
        dumps([[read]]).encode()
    except (ValueError, RecursionError):
        return output
    return read


class Spelled(str):
    """A number as the output spells it."""


def spoken(value: object, depth: int = 0) -> str:
    """A value for reading: `name: value`, one behind the other."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict) and value and depth < DEEPEST:
        return ", ".join(f"{name}: {grouped(one, depth + 1)}" for name, one in value.items())
    if isinstance(value, list) and value and depth < DEEPEST:
        joint = "; " if any(isinstance(one, dict) for one in value) else ", "
        return joint.join(grouped(one, depth + 1) for one in value)
    return dumps(value)


def grouped(value: object, depth: int) -> str:
    whole = spoken(value, depth)
    return f"({whole})" if depth > 1 and isinstance(value, dict | list) and value else whole


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}…"


DEEPEST, LONGEST_OUTPUT = 6, 4000


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def played(sample: Sample, question: Question, say: Mapping[str, str], draw: Draw, message: str) -> Reply:
    """The sample's next round; behind the last one its text, or a sentence about all that came of its calls."""
    from runner.checks.arguments import plain

    functions = {tool["function"]["name"] for tool in question.tools if tool.get("type") == "function"}
    own = {tool.get("type") for tool in question.tools} - {"function"}

    def is_own(call: SampleCall) -> bool:
        return call.name not in functions and (call.name in own or plugins.known(call.name))

    rounds = list(sample.calls)
    for _answered in question.rounds:
        while rounds and all(is_own(call) for call in rounds[0]):
            rounds.pop(0)
        rounds = rounds[1:]
    uses: list[ToolUse] = []
    for calls in rounds:
        for call in filter(is_own, calls):
            arguments = {name: plain(value) for name, value in call.arguments.items()}
            known = plugins.known(call.name)
            output = plugins.use(call.name, dumps(arguments), draw, question.now) if known else no_plugin(call.name)
            uses.append(ToolUse(call.name, arguments, output))
        asked = [FunctionCall(call.name, {name: plain(value) for name, value in call.arguments.items()})
                 for call in calls if not is_own(call)]  # fmt: skip
        if asked:
            return Reply("", tuple(uses), tuple(asked))
    about = [told(call, say) for calls in question.rounds for call in calls]
    about += [used(use, say, message) for use in (*question.uses, *uses)]
    return Reply(sample.text or " ".join(about), tuple(uses))


def no_plugin(name: str) -> Json:
    return {"error": f"the embedded service has no plug-in `{name}`"}


def used(use: ToolUse, say: Mapping[str, str], message: str) -> str:
    """What came of a tool of the service, in a sentence."""
    if use.output.get("error") and use.tool != "code_interpreter":
        return told(AnsweredCall("", use.tool, "", dumps(use.output)), say)
    match use.tool:
        case "text_to_image" | "wanx":
            return pictured(str(use.arguments["prompt"]), use.output["output"]["results"][0]["url"], say)
        case "calculator":
            return say["calculation"].format(formula=use.arguments["formula"], result=use.output["result"])
        case "code_interpreter":
            return say["code"].format(topic=topic(message))
        case "quark_search" | "search":
            return say["search"].format(topic=use.arguments.get("query", ""))
        case _:
            return say["documents"].format(topic=topic(message))


def pictured(subject: str, url: str, say: Mapping[str, str]) -> str:
    return f"{say['picture'].format(subject=subject)}\n\n![{subject.translate(BRACKETS)}]({url})"


# ── conversation ─────────────────────────────────────────────────────────────────────────────────────────────────────

NAME = "name"
NAMES = {"名前": NAME, "名字": NAME, "姓名": NAME, "お名前": NAME}
TOLD = (
    r"(?i)\bmy ((?:\w+ ){0,3}?\w+) (?:is|are) ([^.!?,\n]+)"
    r"|(?:私|僕|わたし|ぼく)の([^はがを。]+?)は([^。！？\n]+?)(?:です|だ)"
    r"|我的([^是。]+?)是([^。！？，\n]+)"
)
NAMED = (
    r"(?i)\b(?:call me|I am called|I'm called) ([^.!?,\n]+)"
    r"|(?:私|僕|わたし)は([^。！？、\n]+?)(?:と申し|といい|と言い|です)"
    r"|我叫([^。！？，\n]+)"
)
ASKED = (
    r"(?i)\b(?:what|which|who|where|when)(?:'s|’s|s| is| are| was) my ([^.?!,\n]+)"
    r"|\b(?:remember|know|recall|tell me|say) my ([^.?!,\n]+)"
    r"|(?:私|僕|わたし|ぼく)の([^はがを。]+?)(?:は|を|が)[^。]*(?:何|なん|なに|誰|どこ|いつ|覚えて|？|\?)"
    r"|我的([^是。？]+?)(?:是|叫)(?:什么|谁|哪|多少|几)"
)
WHO = r"(?i)\bwho am I\b|我叫什么|我是谁|(?:私|僕)は誰"
UNKNOWN = r"什么|谁|哪|多少|何|なん|誰|どこ"
GREETING = (
    r"(?i)^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening)"
    r"|こんにちは|おはよう(?:ございます)?|こんばんは|你好|您好|早上好)\W*$"
)
BACK = (
    r"(?i)\b(?:it|its|that|this|they|them|he|she|there|again|first|previous|earlier|before)\b"
    r"|それ|これ|その|さっき|它|他|她|这|那|刚才"
)
OPENING = (
    r"(?i)^\W*(?:please\s+)?(?:(?:can|could|would|will) you\s+)?(?:please\s+)?"
    r"(?:(?:what|who|where|when|why|how)(?:'s|’s|\s+(?:is|are|was|were|do|does|did))?\s+|(?:tell|show) me\s+(?:about\s+)?"
    r"|explain\s+|describe\s+|search\s+(?:for|the web for)\s+|look up\s+)?(?=\S)"
)
MOST = 200


def conversation(message: str, earlier: Sequence[str], say: Mapping[str, str]) -> str:
    """An answer in words, from this message and those before it."""
    if not message.strip():
        return say["silence"]
    asked = asked_for(message)
    if asked:
        known = facts([*earlier, message]).get(NAMES.get(asked, asked).casefold())
        return say["known"].format(name=asked, value=known) if known else say["unknown"].format(name=asked)
    told = facts([message])
    if told:
        parts = [say["met"].format(value=value) if name == NAME else say["learned"].format(name=name, value=value)
                 for name, value in told.items()]  # fmt: skip
        return " ".join(parts)
    if re.search(GREETING, message):
        return say["greeting"]
    if earlier and re.search(BACK, message):
        return say["continued"].format(topic=topic(message), before=drawn(earlier) or topic(earlier[-1]))
    return say["answer"].format(topic=topic(message))


def facts(texts: Sequence[str]) -> Mapping[str, str]:
    """What the user told about themselves, by name; the latest counts."""
    known = {}
    for text in texts:
        for match in re.finditer(TOLD, text):
            name, told = filter(None, match.groups())
            if not re.search(UNKNOWN, told):
                known[NAMES.get(name, name).casefold()] = told.strip()
        for match in re.finditer(NAMED, text):
            told = next(filter(None, match.groups()))
            if not re.search(UNKNOWN, told):
                known[NAME] = told.strip()
    return known


def asked_for(message: str) -> str:
    """What the user wants to hear about themselves, or nothing."""
    if re.search(WHO, message):
        return {"en": "name", "ja": "名前", "zh": "名字"}[language_of(message)]
    match = re.search(ASKED, message)
    return next(filter(None, match.groups())).strip() if match else ""


def topic(message: str) -> str:
    """What a message is about, in its own words: without its opening phrase, its line breaks and its last mark."""
    flat = " ".join(message.split())
    stripped = re.sub(OPENING, "", flat, count=1).strip(" .!?。！？")
    whole = stripped or flat
    return whole if len(whole) <= MOST else f"{whole[:MOST]}…"
