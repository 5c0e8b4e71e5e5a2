"""What goes where: HTTP to Django, websockets to the chat."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

from chatbot_site.origins import OriginCheck
from conversations.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        # The chat looks up the session itself, together with the conversation.
        "websocket": OriginCheck(URLRouter(websocket_urlpatterns)),
    }
)
