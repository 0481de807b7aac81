"""Patients. A re-import deletes them and makes them again under new ids."""

from __future__ import annotations

import uuid

from django.db import models


def optional_text(length: int) -> models.CharField:
    return models.CharField(max_length=length, null=True, blank=True)


class Patient(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    mrn = models.CharField(max_length=50, unique=True, null=True, blank=True)
    clinic_id = models.UUIDField(null=True, blank=True)
    dob = models.DateField(null=True, blank=True)
    title = optional_text(20)
    middle_name = optional_text(100)
    preferred_name = optional_text(100)
    gender = optional_text(20)
    phone = optional_text(30)
    mobile = optional_text(30)
    work_phone = optional_text(30)
    email = models.EmailField(null=True, blank=True)
    address = optional_text(200)
    suburb = optional_text(100)
    state = optional_text(30)
    postcode = optional_text(12)
    country = optional_text(60)
    emergency_name = optional_text(200)
    emergency_phone = optional_text(30)
    health_fund = optional_text(100)
    health_fund_number = optional_text(50)
    pension_number = optional_text(50)
    insurer_reference = optional_text(50)
    referrer = optional_text(200)
    occupation = optional_text(100)
    shoe_size = optional_text(20)
    weight_kg = models.IntegerField(null=True, blank=True)
    alerts = models.TextField(null=True, blank=True)
    comments = models.TextField(null=True, blank=True)
    # No index and no uniqueness, as in the clinic: {"filemaker_id": "<UUID, mostly in upper case>", ...}
    filemaker_metadata = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "patients"
