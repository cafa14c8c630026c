"""The words by which a message and a function are compared: English by its stems, Japanese and Chinese by pairs of characters.

A small table of concepts lets 注文 and 订单 meet `order`, so that a function named in English fits what is said in Japanese.
"""

import re
from collections.abc import Mapping
from functools import cache

__all__ = ["CONCEPTS", "acts", "in_order", "name_words", "reads", "stem", "words"]

ACTS: Mapping[str, str] = {
    "cancel": "キャンセル|取り消|取消|解約|退订",
    "delete": "削除|消して|消去|删除|删掉",
    "send": "送って|送信|送付|送りた|発送して|发送|寄出|发给|发一",
    "buy": "購入|買って|買いた|购买|买",
    "update": "更新|変更|修正|修改|更改|改成",
    "create": "作成|作って|创建|新建|建立",
    "book": "予約|预订|预约|预定",
    "refund": "返金|退款|退钱",
    "return": "返品|退货",
    "pay": "支払|払って|付款|支付",
    "add": "追加|添加",
    "transfer": "振り込|振込|転送|转账|转移",
    "upload": "アップロード|上传",
    "publish": "公開|発表|发布",
    "start": "開始|始めて|启动|开始",
    "stop": "停止|止めて|停下",
    "close": "閉じ|关闭",
    "open": "開いて|打开",
    "set": "設定|设置|设定",
    "save": "保存",
    "register": "登録|注册",
    "approve": "承認|批准",
    "reject": "却下|拒绝",
}
"""What changes something, and what it is in Japanese and Chinese."""
MORE_ACTS = (
    "post", "write", "submit", "subscribe", "unsubscribe", "invite", "schedule", "rename", "move", "assign", "reset", "turn",
    "switch", "enable", "disable", "lock", "unlock", "restart", "reboot", "ship", "charge", "sell", "archive", "restore",
    "execute", "deploy", "issue", "mark", "notify", "reply", "forward", "renew", "place",
)  # fmt: skip
SAME: Mapping[str, str] = {
    "purchase": "buy", "remove": "delete", "erase": "delete", "modify": "update", "change": "update", "edit": "update",
    "reserve": "book", "email": "mail", "forecast": "weather", "temperature": "weather", "parcel": "package",
    "delivery": "shipment", "deliver": "shipment", "shipping": "shipment", "client": "customer", "cost": "price",
    "inventory": "stock", "reimburse": "refund", "abort": "cancel", "money back": "refund",
}  # fmt: skip
THINGS: Mapping[str, str] = {
    "order": "注文|オーダー|订单|訂單",
    "weather": "天気|気温|天气|气温",
    "stock": "在庫|库存",
    "price": "価格|値段|いくら|价格|多少钱",
    "product": "商品|製品|产品",
    "customer": "顧客|お客|客户|顾客",
    "user": "ユーザー|用户",
    "city": "都市|城市",
    "country": "国名|国家",
    "time": "時刻|時間|何時|时间|几点",
    "date": "日付|日期|何日",
    "mail": "メール|邮件|邮箱",
    "message": "メッセージ|消息|短信",
    "flight": "フライト|航空便|航班",
    "hotel": "ホテル|酒店",
    "room": "部屋|房间",
    "train": "電車|列車|火车",
    "ticket": "チケット|切符|门票|车票",
    "table": "テーブル|席|餐桌",
    "account": "アカウント|口座|账户|账号",
    "address": "住所|地址",
    "invoice": "請求書|发票",
    "shipment": "配送|配達|发货|物流|快递",
    "package": "荷物|小包|包裹",
    "meeting": "会議|会议",
    "event": "イベント|活动",
    "balance": "残高|余额",
    "subscription": "定期購入|サブスク|订阅",
    "payment": "支払い|付款",
    "restaurant": "レストラン|餐厅|饭店",
    "light": "照明|ライト|电灯|灯",
    "document": "文書|書類|文档|文件",
    "quantity": "数量",
    "gift": "ギフト|贈り物|礼物|礼品",
    "color": "色|颜色",
    "size": "サイズ|尺寸|大小",
}
CONCEPTS: Mapping[str, str] = {**ACTS, **THINGS}

FETCHES = (
    "get", "find", "look", "lookup", "check", "list", "show", "fetch", "search", "read", "query", "track", "retrieve", "load",
    "describe", "tell", "view", "count", "calculate", "compute", "convert", "translate", "compare", "validate", "verify",
)  # fmt: skip
EMPTY = frozenset({
    "a", "an", "and", "the", "of", "for", "to", "in", "on", "at", "by", "with", "from", "is", "are", "was", "be", "it",
    "its", "this", "that", "one", "all", "any", "some", "my", "your", "their", "our", "his", "her", "up", "or", "as",
    "if", "when", "what", "which", "who", "how", "where", "do", "does", "use", "used", "using", "given", "not", "no",
    "id", "ids", "number", "name", "info", "information", "details", "detail", "data", "value", "values", "please",
    "you", "i", "me", "we", "us", "can", "could", "would", "will", "has", "have", "had", "about", "into", "out", "get"
})  # fmt: skip
EMPTY_PAIRS = frozenset({
    "問題", "问题", "情報", "信息", "確認", "查询", "検索", "搜索", "方法", "内容", "結果", "结果",
    "一件", "指定", "取得", "获取", "返回", "现在", "現在", "今日", "今天", "明日", "明天", "関する",
    "相关", "教え", "调用", "関数", "函数", "使用", "利用", "状況", "状態", "状态", "番号", "编号"
})  # fmt: skip
HAN = r"[\u3400-\u9fff\u30a0-\u30ff々]{2,}"
"""Where pairs are taken from: Han and katakana, for hiragana is mostly grammar."""


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name: `get_order`, `getOrder` and `get-order` are get and order; other scripts stay in one piece."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(word.lower() for word in re.split(r"[\s_\-.]+", parts) if word)


@cache
def stem(word: str) -> str:
    """An English word without its ending, roughly: cancelled, cancelling and cancellation meet."""
    word = word.lower()
    for ending, stays in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + stays
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdglmnprst":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


ENDINGS = (("ies", "y"), ("ied", "y"), ("ations", ""), ("ation", ""), ("ings", ""), ("ing", ""), ("sses", "ss"), ("ss", "ss"),
           ("es", "e"), ("s", ""), ("ed", ""))  # fmt: skip


@cache
def stems(of: str) -> Mapping[str, str]:
    """Stems of a group of words, and the stem each stands for."""
    groups = {
        "acting": [*ACTS, *MORE_ACTS, *(word for word, meant in SAME.items() if meant in ACTS)],
        "reading": FETCHES,
        "same": SAME,
        "empty": EMPTY,
    }
    return {stem(word): stem(SAME.get(word, word)) for word in groups[of]}


def acts(word: str) -> bool:
    """Whether the stem is that of a verb that changes something."""
    return word in stems("acting")


def reads(word: str) -> bool:
    return word in stems("reading")


def words(text: str) -> frozenset[str]:
    """What a text can be compared by: stems, pairs of characters, and the concepts behind them."""
    return frozenset(in_order(text))


def in_order(text: str) -> tuple[str, ...]:
    found = []
    for word in re.findall(r"(?<![A-Za-z_])[A-Za-z]{2,}(?![A-Za-z_])", text):
        short = stem(word)
        meant = stems("same").get(short, short)
        if word.lower() not in EMPTY and meant not in stems("empty"):
            found.append(meant)
    if not text.isascii():
        found += [stem(concept) for concept, pattern in CONCEPTS.items() if re.search(pattern, text)]
        # What is done has its concept; its pairs would make all that is done alike.
        for run in re.findall(HAN, re.sub("|".join(ACTS.values()), " ", text)):
            found += [pair for pair in (run[at : at + 2] for at in range(len(run) - 1)) if pair not in EMPTY_PAIRS]
    return tuple(found)
