"""Alibaba Cloud Model Studio (DashScope), on its international site and on China's."""

from typing import ClassVar

from runner.registry import target
from runner.targets import Capabilities
from runner.targets.assistant_api import AssistantApi
from runner.words import _

__all__ = ["DashScope", "DashScopeChina"]


@target("dashscope")
class DashScope(AssistantApi):
    """DashScope's international site, in Singapore. The key is read from DASHSCOPE_API_KEY.

    The documentation says that a run cannot be cancelled, though the vendor's SDK has the call: it is tried, and not relied on.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(cancel=False)
    default_base_url: ClassVar[str] = "https://dashscope-intl.aliyuncs.com/api/v1"
    key_variable: ClassVar[str | None] = "DASHSCOPE_API_KEY"

    def advice(self) -> str:
        return _(
            "check the key in {variable}; a key belongs to one site: target `dashscope` is the international one, "
            "`dashscope-cn` China's"
        ).format(variable=self.connection.key_variable or self.key_variable)


@target("dashscope-cn")
class DashScopeChina(DashScope):
    """DashScope's site in China, Beijing. The key is read from DASHSCOPE_API_KEY."""

    default_base_url: ClassVar[str] = "https://dashscope.aliyuncs.com/api/v1"
