# A coarse segmentation of images, as a Makefile: patches, training, what each patch shows, and the mean intersection over union.
#
#   scripts/make-scenes scenes
#   make -f scripts/segmenter.mk IMAGES=scenes/train.pgm TAGS=scenes/train.tags VALID=scenes/valid.pgm VALID_TAGS=scenes/valid.tags \
#     TEST=scenes/heldout.pgm TEST_TAGS=scenes/heldout.tags PATCH=4 POSITIONS=64
#
# TAGS has a line for each image, the names of its patches row by row. PATCH is the side of a patch in pixels, POSITIONS the number of
# patches of an image. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,IMAGES TAGS VALID VALID_TAGS TEST TEST_TAGS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/segmenter
PATCH ?= 4
POSITIONS ?= 64
SCALE ?= 0.00392157
MODEL ?= --width 96 --heads 4 --inner 192 --encoder-layers 4 --norm-position pre --activation gelu
TRAIN ?= --optimizer adamw --learning-rate 0.003 --schedule cosine --warmup 200 --steps 7000 --batch-tokens 1024 --dropout 0 --validate-every 1000

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
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(TAGS) $(VALID_TAGS)
	train --task tagging --source $< --labels $(TAGS) --valid-source $(OUT)/valid.npy --valid-labels $(VALID_TAGS) \
	  --positions learned --max-positions $(POSITIONS) $(MODEL) $(TRAIN) --metric accuracy --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.hyp: $(OUT)/test.npy $(OUT)/model.h5
	tag -m $(OUT)/model.h5 --names $< > $@

# Of each class the patches that both say it is, of those that one of them does, over all images; the mean of the classes.
score: $(OUT)/test.hyp
	score --metric mean-iou --reference $(TEST_TAGS) $<
