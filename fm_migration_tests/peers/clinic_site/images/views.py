"""What the gallery shows: the batches of one patient, and the photographs of one batch.

The views believe the tables as they are. A link that went stale shows nothing, a count that is wrong is
shown wrong, and a key without an object still gets a URL.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

import boto3
from botocore.config import Config
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from patients.models import Patient

from images.models import Image, ImageBatch


@lru_cache(maxsize=1)
def _store():
    store = settings.CLINIC_S3
    return boto3.client(
        "s3",
        endpoint_url=store["endpoint_url"],
        region_name=store["region"],
        aws_access_key_id=store["access_key_id"],
        aws_secret_access_key=store["secret_access_key"],
        # boto3 presigns with the old signature by default, which newer regions and servers refuse.
        config=Config(signature_version="s3v4"),
    )


def _url(key: str) -> str:
    bucket = settings.CLINIC_S3["bucket"]
    if not bucket:
        return key
    return _store().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=3600)


def _image(image: Image) -> dict[str, object]:
    return {
        "id": str(image.id),
        "url": _url(image.s3_key),
        "thumbnail_url": _url(image.s3_thumbnail_key) if image.s3_thumbnail_key else None,
        "category": image.category,
        "caption": image.caption,
        "order": image.order,
    }


def _batch(batch: ImageBatch) -> dict[str, object]:
    return {
        "id": str(batch.id),
        "name": batch.name,
        "uploaded_at": batch.uploaded_at.isoformat(),
        "image_count": batch.image_count,
    }


def _cover(batch: ImageBatch) -> dict[str, object] | None:
    """The first photograph by ("order", uploaded_at), which is how the model sorts them."""
    images = batch.images.all()
    return _image(images[0]) if images else None


def batch_list(request: HttpRequest) -> JsonResponse:
    """The batches of ?patient_id=<uuid>, oldest first, and the badge of the patient's page."""
    try:
        patient_id = UUID(request.GET.get("patient_id", ""))
    except ValueError:
        return JsonResponse({"error": "patient_id must be a UUID"}, status=400)
    patient_type = ContentType.objects.get_for_model(Patient)
    batches = ImageBatch.objects.filter(content_type=patient_type, object_id=patient_id)
    shown = [_batch(batch) | {"cover": _cover(batch)} for batch in batches.prefetch_related("images")]
    return JsonResponse({"badge": sum(batch["image_count"] for batch in shown), "batches": shown})


def batch_detail(_request: HttpRequest, batch_id: UUID) -> JsonResponse:
    """One batch with all its photographs, in the order of the gallery."""
    batch = get_object_or_404(ImageBatch, id=batch_id)
    return JsonResponse(_batch(batch) | {"images": [_image(image) for image in batch.images.all()]})
