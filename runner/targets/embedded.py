"""The assistant service inside runflow itself: no key, no network, and a scripted model."""

from typing import ClassVar

from runner.registry import target
from runner.targets import Capabilities, Connection
from runner.targets.assistant_api import AssistantApi
from runner.transport import httpx

__all__ = ["Embedded"]

TOOLS = frozenset({"calculator", "code_interpreter", "quark_search", "rag", "search", "text_to_image", "wanx"})
"""What the scripted model can use; nobody else's plug-in runs here."""


@target("embedded")
class Embedded(AssistantApi):
    """The embedded service, in process. Its model follows a script: a pass checks the flow, not a model."""

    capabilities: ClassVar[Capabilities] = Capabilities(tools=TOOLS)
    default_base_url: ClassVar[str] = "http://embedded.invalid/api/v1"
    simulated: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    @classmethod
    def way(cls, connection: Connection) -> httpx.AsyncBaseTransport:
        from runner.embedded.service import Service
        from runner.transport.embedded import EmbeddedTransport

        return EmbeddedTransport(Service())
