# A classifier of images (a Vision Transformer), as a Makefile: patches, training, accuracy.
#
#   make -f scripts/image-classifier.mk IMAGES=train.npy LABELS=train.labels VALID=dev.npy VALID_LABELS=dev.labels PATCH=2 POSITIONS=17
#
# IMAGES and VALID are arrays (N, H, W), or records (H, W); LABELS has a name on each line. PATCH is the side of a patch in pixels,
# POSITIONS the number of patches of an image and one. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,IMAGES LABELS VALID VALID_LABELS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/image-classifier
PATCH ?= 4
POSITIONS ?= 50
SCALE ?= 0.00392157
MODEL ?= --width 64 --heads 4 --inner 256 --encoder-layers 4 --norm-position pre --activation gelu
TRAIN ?= --optimizer adamw --learning-rate 0.002 --schedule cosine --warmup 200 --steps 1500 --batch-tokens 2000 --dropout 0.1

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

$(OUT)/train.npy: $(IMAGES) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $< -o $@
$(OUT)/valid.npy: $(VALID) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $< -o $@

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(LABELS) $(VALID_LABELS)
	train --task classification --source $< --labels $(LABELS) --valid-source $(OUT)/valid.npy --valid-labels $(VALID_LABELS) \
	  --class-token --pooling first --positions learned --max-positions $(POSITIONS) $(MODEL) $(TRAIN) --metric accuracy \
	  --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/valid.hyp: $(OUT)/valid.npy $(OUT)/model.h5
	classify -m $(OUT)/model.h5 --names $< > $@

score: $(OUT)/valid.hyp
	score --metric accuracy --reference $(VALID_LABELS) $<
