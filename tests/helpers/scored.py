"""Where the predictions with the authors' scores are."""

from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "metrics" / "fixtures"
