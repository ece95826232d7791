"""Somebody at the page, as the server sees them: a session, its connection and what it asks for."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

import httpx


class Visitor:
    """A visitor without a browser; whoever leaves the block has closed the tab.

    Args:
        address: of the page.
    """

    def __init__(self, address: str) -> None:
        self._client = httpx.AsyncClient(base_url=address, timeout=120)
        self._session = uuid.uuid4().hex
        self._page: dict[str, Any] = {}

    async def __aenter__(self) -> "Visitor":
        self._page = (await self._client.get("config")).json()
        self._heartbeat = asyncio.create_task(self._stay())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._heartbeat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._heartbeat
        await self._client.aclose()

    async def press(self, button: str, values: dict[str, Any]) -> AsyncGenerator[str, None]:
        """The first output of a button's event as it grows.

        Args:
            button: its id on the page.
            values: of components by their ids; the others keep what they show.
        """
        event = self._event(button)
        asked = {
            "data": [self._value(component, values) for component in event["inputs"]],
            "fn_index": event["id"],
            "session_hash": self._session,
        }
        (await self._client.post("gradio_api/queue/join", json=asked)).raise_for_status()
        shown = ""
        query = {"session_hash": self._session}
        async with contextlib.aclosing(self._messages("queue/data", query)) as messages:
            async for message in messages:
                if message["msg"] == "process_generating":
                    shown = _follow(shown, message["output"]["data"][0])
                    yield shown
                elif message["msg"] == "process_completed":
                    return

    async def _stay(self) -> None:
        async for _ in self._messages(f"heartbeat/{self._session}", {}):
            pass

    async def _messages(self, path: str, query: dict[str, str]) -> AsyncGenerator[Any, None]:
        async with self._client.stream("GET", f"gradio_api/{path}", params=query) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def _event(self, button: str) -> dict[str, Any]:
        (own,) = (c["id"] for c in self._page["components"] if c["props"].get("elem_id") == button)
        events: list[dict[str, Any]] = self._page["dependencies"]
        return next(event for event in events if [own, "click"] in event["targets"])

    def _value(self, component: int, values: dict[str, Any]) -> Any:
        (props,) = (c["props"] for c in self._page["components"] if c["id"] == component)
        return values.get(props.get("elem_id", ""), props.get("value"))


def _follow(shown: str, news: Any) -> str:
    """A text after what Gradio tells of it: all of it at first, then how it changed."""
    if isinstance(news, str):
        return news
    for action, _, text in news:
        shown = shown + text if action == "append" else text
    return shown
