#!/bin/sh
python -m lavis.train --cfg-path projects/sam/train.yaml --options run.accum_grad_iters=4 "$@"
