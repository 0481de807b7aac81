"""Batches of photographs, hung on patients by a generic link, and the photographs hung on batches."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone


class ImageBatch(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    # No GenericRelation points back from Patient, so deleting a patient leaves its batches behind.
    content_object = GenericForeignKey("content_type", "object_id")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    uploaded_at = models.DateTimeField(default=timezone.now)
    image_count = models.IntegerField(default=0)

    class Meta:
        db_table = "images_batch"
        ordering = ("uploaded_at", "id")
        indexes = (models.Index(fields=("content_type", "object_id"), name="images_batch_content_idx"),)


class Image(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.ForeignKey(ImageBatch, on_delete=models.CASCADE, related_name="images")
    s3_key = models.CharField(max_length=500)
    s3_thumbnail_key = models.CharField(max_length=500, blank=True)
    original_name = models.CharField(max_length=255)
    file_size = models.IntegerField()
    thumbnail_size = models.IntegerField(null=True, blank=True)
    width = models.IntegerField(null=True, blank=True)
    height = models.IntegerField(null=True, blank=True)
    mime_type = models.CharField(max_length=100)
    category = models.CharField(max_length=100, blank=True)
    caption = models.TextField(blank=True)
    date_taken = models.DateField(null=True, blank=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    uploaded_at = models.DateTimeField(default=timezone.now)
    filemaker_id = models.UUIDField(unique=True, null=True, blank=True)
    order = models.IntegerField(default=0)

    class Meta:
        db_table = "images_image"
        ordering = ("batch_id", "order", "uploaded_at")
