"""A bill of materials of an artifact in CycloneDX: the model, its files with their hashes, and what it was made with.

The same artifact gives the same bytes: the serial number follows from the manifest's hash, and no time is in it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnas_deploy.artifact.artifact import MANIFEST, Artifact
from resnas_deploy.errors import BadInput, PackageMissing, shown

if TYPE_CHECKING:
    from cyclonedx.model.license import DisjunctiveLicense

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://arxiv.org/abs/2109.00642")


def check_materials() -> None:
    """Raise `PackageMissing` where the library that writes bills is not installed."""
    try:
        import cyclonedx  # noqa: F401  which is imported where it is used
    except ImportError:
        raise PackageMissing(
            "a bill of materials needs the package cyclonedx-python-lib", "pip install 'resnas[sbom]'"
        ) from None


def bill_of_materials(artifact: Artifact, license: str = "") -> str:  # noqa: A002  the API's name for it
    """Return the bill as JSON of CycloneDX 1.6. Raise `PackageMissing`, and `BadInput` for no licence of SPDX."""
    check_materials()
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    manifest = artifact.manifest
    content = manifest.to_bytes()
    digests: Mapping[str, str] = {**manifest.files, MANIFEST: hashlib.sha256(content).hexdigest()}

    def properties(**values: object) -> list[Property]:
        return [Property(name=f"resnas:{name}", value=str(value)) for name, value in values.items() if value != ""]

    files = [
        Component(
            name=name,
            bom_ref=f"file:{name}",
            type=ComponentType.FILE,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            properties=properties(bytes=len(content) if name == MANIFEST else artifact.file(name).stat().st_size),
        )
        for name, digest in digests.items()
    ]
    model = Component(
        name=manifest.name,
        version=manifest.weights_sha256,
        bom_ref=f"model:{manifest.weights_sha256}",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        description=manifest.label,
        licenses=[_license(license)] if license else (),
        properties=properties(
            architecture=manifest.arch.fingerprint,
            precision=manifest.precision,
            weights="trained" if manifest.provenance.trained else "untrained",
            verification=manifest.verification or "unverified",
            for_runner=manifest.for_runner,
        ),
        components=files,
    )
    tools = [
        Component(
            name=name,
            version=version,
            bom_ref=f"pkg:pypi/{name}@{version}",
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", name=name, version=version),
        )
        for name, version in manifest.tools.items()
    ]
    bom = Bom(
        components=tools,
        metadata=BomMetaData(component=model),
        serial_number=uuid.uuid5(_NAMESPACE, digests[MANIFEST]),
    )
    bom.register_dependency(model, tools)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]  # of now: no two bills of one artifact would be the same
    return json.dumps(document, indent=1) + "\n"


def _license(name: str) -> DisjunctiveLicense:
    from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
    from cyclonedx.contrib.license.factories import LicenseFactory

    try:
        return LicenseFactory().make_with_id(name)
    except InvalidSpdxLicenseException:
        raise BadInput(f"`license` must be an identifier of SPDX, such as Apache-2.0, found {shown(name)}") from None
