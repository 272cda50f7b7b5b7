"""The routes: /v1/chat/completions, /v1/models, /healthz and /metrics."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.serving import replies
from lavis_sam.serving.answers import Answer, Asked, prepare
from lavis_sam.serving.batcher import Batcher, Event, Job
from lavis_sam.serving.chat_request import ChatRequest
from lavis_sam.serving.counters import Counters
from lavis_sam.serving.image_urls import read_image
from lavis_sam.serving.limits import Limits, RequestRefusedError

# Images are decoded by so many threads at a time: a large one takes half a gigabyte for a moment.
_DECODERS = 2
# For a stream's client to read that its time is over.
_LAST_EVENT_SECONDS = 1.0
_CLIENT_HAS_LEFT = 499  # nginx's number; nobody receives it


@dataclass(frozen=True)
class Service:
    """What is served, and how.

    Attributes:
        name: The model's name in requests and answers.
        key: The API key that clients have to send; None for none.
        hosts: From which images may be fetched.
        on_start: Called when requests can be answered.
    """

    model: SemanticAlignment
    name: str
    limits: Limits = field(default_factory=Limits)
    key: str | None = None
    hosts: Collection[str] = ()
    batch_size: int = 8
    gather_seconds: float = 0.005
    on_start: Callable[[], None] = lambda: None


def make_app(service: Service) -> FastAPI:
    """Make the web application; its batcher runs between its start and its end."""
    endpoint = _Endpoint(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.on_start()
        try:
            yield
        finally:
            await asyncio.to_thread(endpoint.close)

    # Its documentation pages load scripts from elsewhere.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/healthz", endpoint.health, methods=["GET"], response_model=None)
    for method, path, answer in (
        ("POST", "/v1/chat/completions", endpoint.complete),
        ("GET", "/v1/models", endpoint.models),
        ("GET", "/v1/models/{name:path}", endpoint.one_model),
        ("GET", "/metrics", endpoint.metrics),
    ):
        app.add_api_route(path, answer, methods=[method], response_model=None, dependencies=[Depends(endpoint.guard)])
    for status, text in ((404, "there is no such address"), (405, "this address does not take this method")):
        app.add_exception_handler(status, _answering(RequestRefusedError(text, status=status, code="not_found")))
    app.add_exception_handler(RequestRefusedError, _refused)
    return app


class _Endpoint:
    def __init__(self, service: Service) -> None:
        self._service, self._started = service, int(time.time())
        self._in_flight = 0
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="images")
        self._batcher = Batcher(
            service.model,
            batch_size=service.batch_size,
            gather_seconds=service.gather_seconds,
            on_batch=lambda size: self.counters.batches.observe(size),
        )
        self.counters = Counters(lambda: self._in_flight, lambda: self._batcher.waiting)

    def close(self) -> None:
        self._batcher.close()
        self._decoders.shutdown()

    async def guard(self, request: Request) -> None:
        """Let in who has the key."""
        key = self._service.key
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        # Compared in a time that says nothing about the key.
        if key is not None and not hmac.compare_digest(sent, key.encode()):
            raise RequestRefusedError(
                "the API key is missing or wrong; send it as `Authorization: Bearer KEY`.",
                status=401,
                code="invalid_api_key",
            )

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [await self.one_model(self._service.name)]}

    async def one_model(self, name: str) -> dict[str, Any]:
        self._check_model(name)
        return {"id": name, "object": "model", "created": self._started, "owned_by": "lavis_sam"}

    async def health(self) -> Response:
        is_alive = self._batcher.is_alive()
        return JSONResponse({"status": "ok" if is_alive else "closed"}, status_code=200 if is_alive else 503)

    async def metrics(self) -> Response:
        return Response(self.counters.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def complete(self, request: Request) -> Response:
        """Answer a conversation; whatever happens is counted, and the request's place is given back."""
        started = time.monotonic()
        deadline = asyncio.get_running_loop().time() + self._service.limits.seconds
        if self._in_flight >= self._service.limits.requests:
            self.counters.requests.labels(429).inc()
            raise RequestRefusedError(
                f"{self._in_flight} requests are being answered or wait, which is the most; ask again in a moment.",
                status=429,
                code="rate_limit_exceeded",
            )
        self._in_flight += 1

        def done(status: int) -> None:
            self._in_flight -= 1
            self.counters.requests.labels(status).inc()
            self.counters.seconds.observe(time.monotonic() - started)

        try:
            async with asyncio.timeout_at(deadline):
                response = await self._answer(request, deadline, done)
        except TimeoutError:
            done(504)
            raise self._too_late() from None
        except ClientDisconnect:
            done(_CLIENT_HAS_LEFT)
            return Response(status_code=_CLIENT_HAS_LEFT)
        except RequestRefusedError as error:
            done(error.status)
            raise
        except BaseException:
            done(500)
            raise
        if not isinstance(response, _Stream):
            done(200)
        return response

    async def _answer(self, request: Request, deadline: float, done: Callable[[int], None]) -> Response:
        body = await _read_body(request, self._service.limits.bytes)
        loop = asyncio.get_running_loop()
        asked, wanted = await loop.run_in_executor(self._decoders, self._read, body)
        del body
        events: asyncio.Queue[Event] = asyncio.Queue()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # after a second signal there is no loop, and nobody to answer
                loop.call_soon_threadsafe(events.put_nowait, event)

        job = Job(asked, deliver, _can_stream(wanted, asked))
        self.counters.images.inc(asked.images.shape[1])
        self.counters.prompt_tokens.inc(asked.prompt_tokens)
        self._batcher.submit(job)
        try:
            first = await _unless_gone(request, events.get())
            if isinstance(first, Exception):
                raise _as_refusal(first)
        except BaseException:
            job.is_cancelled.set()
            raise
        reply = replies.Reply(self._service.name, asked.prompt_tokens)
        if isinstance(first, list) and not wanted.stream:
            self._count(first)
            return JSONResponse(reply.whole(first))
        chunks = self._chunks(reply, wanted, first, events)
        return _Stream(chunks, job, deadline, self._too_late(), done)

    def _read(self, body: bytes) -> tuple[Asked, ChatRequest]:
        """Read a request and its images; runs in a thread of its own."""
        service = self._service
        wanted = ChatRequest.read(body, service.limits)
        self._check_model(wanted.model)
        side = service.model.visual_encoder.image_size
        images = [read_image(url, place, side, service.limits, service.hosts) for place, url in wanted.images()]
        try:
            asked = prepare(
                service.model, images, wanted.prompt, wanted.decoding(), seed=wanted.seed, stops=wanted.stops
            )
        except SamDataError as error:
            raise RequestRefusedError(str(error), code="context_length_exceeded", param="messages") from error
        return asked, wanted

    async def _chunks(
        self, reply: replies.Reply, wanted: ChatRequest, first: Event, events: asyncio.Queue[Event]
    ) -> AsyncIterator[bytes]:
        event, is_begun = first, False
        while isinstance(event, str):
            is_begun = True
            yield reply.piece(0, event)
            event = await events.get()
        if isinstance(event, Exception):
            yield replies.event(replies.error_body(_as_refusal(event)))
            return
        for index, answer in enumerate(event):
            if not is_begun:
                yield reply.piece(index, answer.text)
            yield reply.end(index, answer)
        if wanted.stream_options.include_usage:
            yield reply.usage(event)
        self._count(event)
        yield replies.LAST_EVENT

    def _check_model(self, name: str) -> None:
        if name != self._service.name:
            raise RequestRefusedError(
                f"model: found {name[:80]!r}, wanted {self._service.name!r}, which is served here.",
                status=404,
                code="model_not_found",
                param="model",
            )

    def _too_late(self) -> RequestRefusedError:
        seconds = self._service.limits.seconds
        return RequestRefusedError(
            f"no whole answer within {seconds:g} s; ask for fewer tokens, or later.", status=504, code="timeout"
        )

    def _count(self, answers: list[Answer]) -> None:
        self.counters.new_tokens.inc(sum(answer.tokens for answer in answers))


class _Stream(StreamingResponse):
    """A stream that ends its job and gives back its place however it ends, also before its first chunk.

    At its deadline it ends with an error as its last event.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        job: Job,
        deadline: float,
        too_late: RequestRefusedError,
        done: Callable[[int], None],
    ) -> None:
        super().__init__(self._followed(chunks), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._job, self._deadline, self._too_late = job, deadline, too_late
        self._done, self._status = done, _CLIENT_HAS_LEFT

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            # A client that reads nothing does not stay for ever.
            async with asyncio.timeout_at(self._deadline + _LAST_EVENT_SECONDS):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            self._status = self._too_late.status
            raise
        finally:
            self._job.is_cancelled.set()
            self._done(self._status)

    async def _followed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                self._status = self._too_late.status
                yield replies.event(replies.error_body(self._too_late))
                return
            if chunk is None:
                break
            yield chunk
        self._status = 200  # where the client leaves, Starlette ends without an error, but not here


def _can_stream(wanted: ChatRequest, asked: Asked) -> bool:
    """Return whether words are certain before the end; where beams compete, the stream is one piece."""
    return wanted.stream and asked.decoding.num_beams == 1 and asked.decoding.num_captions == 1


async def _read_body(request: Request, limit: int) -> bytes:
    """Return the body, of which no more is read than is allowed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # also keeps web pages of others out, which may send plain text anywhere
        raise RequestRefusedError(f"Content-Type: found {kind[:60]!r}, wanted 'application/json'.", status=415)
    too_much = RequestRefusedError(
        f"the body has more than {limit} bytes; send fewer or smaller images.", status=413, code="too_large"
    )
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_much
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise too_much
    return bytes(data)


async def _unless_gone(request: Request, waiting: Awaitable[Event]) -> Event:
    """Wait, but not for a client that has left.

    Raises:
        ClientDisconnect: It has.
    """
    event = asyncio.ensure_future(waiting)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({event, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not event.done():
            raise ClientDisconnect
        return event.result()
    finally:
        event.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _as_refusal(error: Exception) -> RequestRefusedError:
    """Return what went wrong in the model, for a client: ours say what and why, others only that."""
    if isinstance(error, SamDataError):
        return RequestRefusedError(str(error))
    if isinstance(error, SamConfigurationError):  # out of memory
        return RequestRefusedError(str(error), status=503, code="overloaded")
    return RequestRefusedError("the model failed; the server's log says more.", status=500, code="internal_error")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestRefusedError):
        raise error
    headers = {"Retry-After": "1"} if error.status in (429, 503) else {}
    return JSONResponse(replies.error_body(error), status_code=error.status, headers=headers)


def _answering(error: RequestRefusedError) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, _: Exception) -> Response:
        return await _refused(request, error)

    return handler
