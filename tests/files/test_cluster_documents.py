"""The scripts for clusters in the documents do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from napari_clipseg.cli.main import main

ROOT = Path(__file__).parents[2]
# Submits nothing: it runs the job script here, as SLURM does on a node, until it is told to end.
SBATCH = """#!/bin/sh
cp "$1" job.sh
setsid bash job.sh > job.log 2>&1 &
echo $! > job.pid
echo "Submitted batch job 1"
"""
SCANCEL = "#!/bin/sh\nkill -- -$(cat job.pid)\n"


@pytest.mark.timeout(300)  # it starts four processes, one after another
@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for SLURM needs setsid")
def test_the_script_for_slurm_runs_its_job(tmp_path):
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    (block,) = (one for one in re.findall(r"(?s)```python\n(.*?)```", page) if "SLURM" in one)
    block = block.replace("cores=8", "cores=1").replace("maximum=20", "maximum=1")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", np.zeros((30, 40), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 images done\n" in done.stdout
    script = (tmp_path / "job.sh").read_text()
    for line in ("#SBATCH --cpus-per-task=1", "#SBATCH --mem=15G", "#SBATCH --requeue"):
        assert f"{line}\n" in script
    assert " --nthreads 1 --memory-limit 14.90GiB " in script


def test_the_manifest_for_kubernetes_fits_together(capsys):
    text = (ROOT / "examples" / "kubernetes.yaml").read_text(encoding="utf-8")
    cluster, job = yaml.safe_load_all(text)
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    name, service = cluster["metadata"]["name"], cluster["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name
    (segment,) = job["spec"]["template"]["spec"]["containers"]
    assert f"--scheduler=tcp://{name}-scheduler:{service['ports'][0]['port']}" in segment["args"]
    pods = (cluster["spec"]["worker"]["spec"], job["spec"]["template"]["spec"])
    for pod in pods:
        (volume,) = pod["volumes"]
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/data"}]
        assert container["image"] == segment["image"]
    # The command is one that this version understands: what is missing is the folder.
    assert main([*segment["command"][1:], *segment["args"]]) == 2
    assert "There is no file or folder /data/images." in capsys.readouterr().err
