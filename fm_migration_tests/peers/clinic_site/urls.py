"""The two addresses that the front end asks for photographs."""

from __future__ import annotations

from django.urls import path
from images.views import batch_detail, batch_list

urlpatterns = [
    path("api/images/batches/", batch_list),
    path("api/images/batches/<uuid:batch_id>/", batch_detail),
]
