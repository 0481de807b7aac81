"""Appointments: a patient who has one cannot be deleted."""

from __future__ import annotations

import uuid

from django.db import models
from patients.models import Patient


class Appointment(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT)
    starts_at = models.DateTimeField()
    kind = models.CharField(max_length=50)

    class Meta:
        db_table = "appointments_appointment"
