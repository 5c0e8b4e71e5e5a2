"""What goes where: HTTP to Django, websockets to the chat."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter

from chatbot_site.handler import SiteHandler
from chatbot_site.origins import OriginCheck
from conversations.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": SiteHandler(),
        # The chat looks up the session itself, together with the conversation.
        "websocket": OriginCheck(URLRouter(websocket_urlpatterns)),
    }
)
