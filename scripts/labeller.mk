# Which of many labels hold of an image, as a Makefile: patches, training with binary cross-entropy, the labels of a test set, and their F1.
#
#   make -f scripts/labeller.mk IMAGES=train.ppm LABELS=train.labels VALID=valid.ppm VALID_LABELS=valid.labels TEST=test.ppm \
#     TEST_LABELS=test.labels PATCH=4 POSITIONS=37
#
# LABELS has a line for each image, the labels that hold with spaces between. PATCH is the side of a patch in pixels, POSITIONS the number
# of patches of an image and one more. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,IMAGES LABELS VALID VALID_LABELS TEST TEST_LABELS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/labeller
PATCH ?= 4
POSITIONS ?= 37
SCALE ?= 0.00392157
THRESHOLD ?= 0.5
MODEL ?= --width 96 --heads 4 --inner 192 --encoder-layers 3 --norm-position pre --activation gelu
TRAIN ?= --optimizer adamw --learning-rate 0.002 --schedule cosine --warmup 200 --steps 3000 --batch-tokens 2048 --dropout 0 --validate-every 500

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

$(OUT)/train.npy: $(IMAGES) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $< -o $@
$(OUT)/valid.npy: $(VALID) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $< -o $@
$(OUT)/test.npy: $(TEST) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $< -o $@

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(LABELS) $(VALID_LABELS)
	train --task multi-label --source $< --labels $(LABELS) --valid-source $(OUT)/valid.npy --valid-labels $(VALID_LABELS) --class-token \
	  --pooling first --positions learned --max-positions $(POSITIONS) $(MODEL) $(TRAIN) --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.hyp: $(OUT)/test.npy $(OUT)/model.h5
	classify -m $(OUT)/model.h5 --names --threshold $(THRESHOLD) $< > $@

# F1 of all labels that were found or hold; then each label's.
score: $(OUT)/test.hyp
	score --metric multi-label --reference $(TEST_LABELS) $<
