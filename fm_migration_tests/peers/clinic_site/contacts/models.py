"""How patients belong to one another, or to something else: a row with two generic links."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class ContactRelationship(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    from_content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    from_object_id = models.UUIDField()
    from_object = GenericForeignKey("from_content_type", "from_object_id")
    to_content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    to_object_id = models.UUIDField()
    to_object = GenericForeignKey("to_content_type", "to_object_id")
    relationship = models.CharField(max_length=50)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "contact_relationships"
