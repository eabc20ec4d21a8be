# Images and their captions, as a Makefile: an encoder of each, trained together so that what belongs together has the nearest vectors
# (Radford et al. 2021, CLIP), and how many captions of a test set find their image among all of its images, and the other way round.
#
#   scripts/make-scenes scenes --captions --heldout 1000
#   make -f scripts/matcher.mk IMAGES=scenes/train.ppm CAPTIONS=scenes/train.captions VALID=scenes/valid.ppm \
#     VALID_CAPTIONS=scenes/valid.captions TEST=scenes/heldout.ppm TEST_CAPTIONS=scenes/heldout.captions VOCABULARY=140
#
# CAPTIONS has a line for each image. PATCH is the side of a patch in pixels, POSITIONS the most patches of an image and the most pieces of
# a caption that there may be. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,IMAGES CAPTIONS VALID VALID_CAPTIONS TEST TEST_CAPTIONS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/matcher
VOCABULARY ?= 1000
PATCH ?= 4
POSITIONS ?= 64
SCALE ?= 0.00392157
MODEL ?= --width 64 --heads 4 --inner 128 --encoder-layers 3 --norm-position pre --activation gelu --projection 64
TRAIN ?= --optimizer adamw --learning-rate 0.002 --schedule cosine --warmup 100 --steps 1000 --batch-tokens 8000 --dropout 0 --validate-every 100

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

$(OUT)/tok.model: $(CAPTIONS) | $(OUT)
	tokenize --train --type bpe --vocab-size $(VOCABULARY) -o $@ $<

# Of each set images.npy and captions.npy.
define set
$(OUT)/$(1).images.npy: $(2) | $(OUT)
	patchify --size $(PATCH) --scale $(SCALE) $$< -o $$@
$(OUT)/$(1).captions.npy: $(3) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $$< -o $$@
endef
$(eval $(call set,train,$(IMAGES),$(CAPTIONS)))
$(eval $(call set,valid,$(VALID),$(VALID_CAPTIONS)))
$(eval $(call set,test,$(TEST),$(TEST_CAPTIONS)))

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(foreach set,train valid,$(OUT)/$(set).images.npy $(OUT)/$(set).captions.npy)
	train --task contrastive --source $(OUT)/train.images.npy --target $(OUT)/train.captions.npy --valid-source $(OUT)/valid.images.npy \
	  --valid-target $(OUT)/valid.captions.npy --tokenizer $(OUT)/tok.model --positions learned --max-positions $(POSITIONS) $(MODEL) $(TRAIN) \
	  --metric accuracy --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/images.npy: $(OUT)/test.images.npy $(OUT)/model.h5
	encode -m $(OUT)/model.h5:image --pool model $< -o $@
$(OUT)/captions.npy: $(OUT)/test.captions.npy $(OUT)/model.h5
	encode -m $(OUT)/model.h5:text --pool model $< -o $@

# A query is right when its own number is the nearest one's.
recall = awk '$$1 == $$2 { ++n } END { printf "recall@1 %.1f %% of %d $(1)\n", 100 * n / NR, NR }'
score: $(OUT)/images.npy $(OUT)/captions.npy
	nearest $(OUT)/images.npy $(OUT)/captions.npy --pairs | $(call recall,images by their captions)
	nearest $(OUT)/captions.npy $(OUT)/images.npy --pairs | $(call recall,captions by their images)
