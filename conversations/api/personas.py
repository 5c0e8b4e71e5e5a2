"""Characters and the model that plays them: read only."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.api.base import ApiView
from conversations.api.pagination import PersonaPages
from conversations.api.serializers import ModelSerializer, PersonaSerializer
from conversations.selectors import personas_active, personas_found
from conversations.services.engine import bundle, sampling_params
from conversations.services.personas import persona_random

# Each is looked for in the lines of thousands.
SEARCHED_WORDS = 5
SEARCH = OpenApiParameter(
    "search",
    str,
    description=f"Words in the name or the lines; the first {SEARCHED_WORDS} count.",
)


class PersonaList(ApiView):
    serializer_class = PersonaSerializer
    pagination_class = PersonaPages

    @extend_schema(
        operation_id="personas_list",
        parameters=[SEARCH],
        responses=PersonaSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """List the characters that new conversations may meet."""
        words = request.query_params.get("search", "").replace("\0", " ").split()
        found = personas_found(personas=personas_active(), words=words[:SEARCHED_WORDS])
        return self.page(found, PersonaPages, PersonaSerializer)


class PersonaDetail(ApiView):
    serializer_class = PersonaSerializer

    @extend_schema(operation_id="personas_retrieve")
    def get(self, request: Request, persona_id: int) -> Response:
        """One character."""
        persona = get_object_or_404(personas_active(), pk=persona_id)
        return Response(PersonaSerializer(persona).data)


class PersonaRandom(ApiView):
    serializer_class = PersonaSerializer

    @extend_schema(operation_id="personas_random")
    def get(self, request: Request) -> Response:
        """A random character."""
        return Response(PersonaSerializer(persona_random()).data)


class LiveModel(ApiView):
    serializer_class = ModelSerializer

    @extend_schema(operation_id="model_retrieve")
    def get(self, request: Request) -> Response:
        """The model that answers, with its card."""
        served, sampling = bundle(), sampling_params()
        names = ("vocab_size", "n_layer", "n_head", "n_embd", "n_ctx")
        card = served.path / "README.md"
        return Response(
            {
                "name": served.name,
                "architecture": served.architecture,
                "quantization": served.quantization,
                "parameters": {name: getattr(served, name) for name in names},
                "sampling": {
                    name: getattr(sampling, name)
                    for name in ("max_tokens", "temperature", "top_k", "top_p")
                },
                "source": served.source,
                "metrics": served.metrics,
                "card": card.read_text(encoding="utf-8") if card.exists() else "",
            }
        )
