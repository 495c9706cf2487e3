"""Our blocks keep Prefect's own standard, and their forms explain themselves."""

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from wildloop.flows.worker.deployments import BLOCKS

SECRETS = ("api_key", "password", "environment")


@pytest.mark.parametrize("block", BLOCKS)
class TestBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """None has a logo: the browser of whoever opens the page would ask a stranger for it."""
        assert block._logo_url is None

    def test_fields_have_titles(self, block: type[Block]) -> None:
        for name, field in block.model_json_schema()["properties"].items():
            title = field.get("title")
            assert title and "_" not in title, name

    def test_secrets_are_secret(self, block: type[Block]) -> None:
        for name, field in block.model_fields.items():
            is_named = name.endswith("_variable")
            if not is_named and any(word in name for word in SECRETS):
                assert "Secret" in str(field.annotation), name
