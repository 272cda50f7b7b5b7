"""The images of a request: data URLs, and addresses at hosts that the owner trusts; nothing else is fetched."""

import base64
import binascii
import http.client
import io
import re
import urllib.request
from collections.abc import Collection
from urllib.parse import urlsplit

from PIL import Image, UnidentifiedImageError

from lavis_sam.baselines.transport import NoRedirect, WatchedHttp, WatchedHttps, WatchedRequest
from lavis_sam.datasets.images import IMAGE_FORMATS, open_image, to_rgb
from lavis_sam.errors import SamDataError
from lavis_sam.serving.limits import Limits, RequestRefusedError

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,", re.ASCII | re.IGNORECASE)
# Of a fetch as a whole: a socket's own time begins anew with each byte.
_FETCH_SECONDS = 10.0


# Without the environment's proxies: the host that is asked is the one that was allowed. It may not send the server
# elsewhere either, such as into its owner's network.
_OPENER = urllib.request.build_opener(NoRedirect(), WatchedHttp(), WatchedHttps(), urllib.request.ProxyHandler({}))


def read_image(url: str, place: str, side: int | None, limits: Limits, hosts: Collection[str] = ()) -> Image.Image:
    """Return an image as the vision encoder sees it, so that a waiting request holds little.

    Args:
        place: What an error calls it.
        side: Pixels of a side that the vision encoder sees; None for the image as it is.
        limits: Of bytes and pixels.
        hosts: From which images may be fetched.

    Raises:
        RequestRefusedError: It cannot be had or read, or is too large.
    """
    if start := _DATA_URL.match(url):
        try:
            data = base64.b64decode(url[start.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise _refused(place, f"broken base64 ({error})", "the bytes of an image file in base64") from None
    else:
        data = _fetch(url, place, limits, hosts)
    try:
        with open_image(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height <= limits.pixels:
                read = to_rgb(image, place)
                return read if side is None else read.resize((side, side), Image.Resampling.BICUBIC)
    # Pillow's plugins raise whatever they stumble over.
    except Exception as error:
        cause = error.__cause__ if isinstance(error, SamDataError) and error.__cause__ else error
        problem = "no known format" if isinstance(cause, UnidentifiedImageError) else str(cause)
        known = ", ".join(IMAGE_FORMATS)
        raise _refused(place, f"no readable image ({problem})", f"a whole file of {known}") from None
    raise _refused(place, f"{width} x {height} = {width * height} pixels", f"at most {limits.pixels}")


def _fetch(url: str, place: str, limits: Limits, hosts: Collection[str]) -> bytes:
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or host not in hosts:
        allowed = f", or an address of {', '.join(sorted(hosts))}" if hosts else "; this server fetches no addresses"
        raise _refused(place, f"{url[:60]!r}", f"data:image/...;base64,...{allowed}")
    try:
        request = WatchedRequest(url)
        with request.watch(_FETCH_SECONDS), _OPENER.open(request, timeout=_FETCH_SECONDS) as response:
            data: bytes = response.read(limits.bytes + 1)
            if request.is_cut:  # which looks like the end of a body
                raise TimeoutError(f"it is not whole within {_FETCH_SECONDS:g} s")
    # An address with a control character in it is an InvalidURL, which is no ValueError.
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _refused(place, f"{url[:60]!r}, which gives nothing ({error})", "an address of an image") from None
    if len(data) > limits.bytes:
        raise _refused(place, f"more than {limits.bytes} bytes at {host}", "a smaller file")
    return data


def _refused(place: str, found: str, wanted: str) -> RequestRefusedError:
    return RequestRefusedError(f"{place}: found {found}; wanted {wanted}.", code="invalid_image_url", param=place)
