import subprocess
import sys


def test_metrics_and_reports_need_neither_lavis_nor_torch_nor_the_libraries():
    code = (
        "import sys\n"
        "import lavis_sam.metrics.protocols, lavis_sam.metrics.resampling\n"
        "import lavis_sam.reports.tables, lavis_sam.reports.comparison\n"
        "from lavis_sam.metrics.predictions import Prediction\n"
        "lavis_sam.metrics.protocols.score([Prediction(1, 'a', 'b', ('b',))], 'coco')\n"
        "heavy = {'lavis', 'torch', 'transformers', 'rouge', 'pycocoevalcap'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
