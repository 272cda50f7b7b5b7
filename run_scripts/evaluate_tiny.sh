#!/bin/sh
python -m lavis.evaluate --cfg-path projects/sam/tiny/evaluate.yaml "$@"
