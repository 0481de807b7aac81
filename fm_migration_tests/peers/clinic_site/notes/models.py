"""Notes: they are deleted with their patient."""

from __future__ import annotations

import uuid

from django.db import models
from patients.models import Patient


class Note(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "notes_note"
