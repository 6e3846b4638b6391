"""What a wheel holds besides the package: the project's own files, which a checkout has beside it.

An editable installation needs none of them, as it is the checkout.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("dagster.yaml", "workspace.yaml", "deploy", "requirements/requirements.lock")


class ProjectFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Puts them below the package, where `retail_assets.project.project_file` looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"].update({name: f"retail_assets/project_files/{name}" for name in FILES})
