import subprocess
import sys


def test_a_service_is_asked_without_lavis_and_transformers():
    code = (
        "import sys\n"
        "import lavis_sam.baselines.endpoint, lavis_sam.cli.baseline\n"
        "heavy = {'lavis', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
