#!/bin/sh
python -m lavis.train --cfg-path projects/sam/tiny/train.yaml "$@"
