"""`/docs`: Swagger UI from the package: it opens without the internet and loads nobody's code.

The page of `shim/page` is of the same origin: a script from elsewhere could act as its user.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

DOCS = "/docs"
STATIC = f"{DOCS}/static"
# Swagger UI is begun by a script in the page itself, and draws with styles and data: pictures.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
)


def mount_docs(app: FastAPI) -> None:
    """Serve Swagger UI of the app's schema at `/docs`."""
    static = Path(str(files("fastapi_offline") / "static"))
    app.mount(STATIC, StaticFiles(directory=static), name="docs")

    async def docs() -> HTMLResponse:
        answer = get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=app.title,
            swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{STATIC}/favicon.png",
        )
        answer.headers["Content-Security-Policy"] = POLICY
        return answer

    app.add_api_route(DOCS, docs, methods=["GET"], include_in_schema=False)
