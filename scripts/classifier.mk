# A classifier of sentences, as a Makefile: a masked language model of unlabelled text, then the same encoder fine-tuned on labelled
# text (Devlin et al. 2019), its accuracy, and the classes of new text.
#
#   make -f scripts/classifier.mk TEXT=train.txt LABELS=train.labels VALID=dev.txt VALID_LABELS=dev.labels OUT=build/classes
#
# UNLABELLED is what the masked language model reads (TEXT, unless given); PRETRAIN=no trains from scratch. FROM is a model to begin with
# (an imported BERT or GPT-2, say), which has its own tokenizer; no masked language model is trained then.
# Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,TEXT LABELS VALID VALID_LABELS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/classifier
UNLABELLED ?= $(TEXT)
PRETRAIN ?= yes
FROM ?=
VOCABULARY ?= 4000
MODEL ?= --width 128 --heads 4 --inner 256 --encoder-layers 2
MASKED ?= --schedule linear --learning-rate 0.002 --warmup 200 --steps 2000 --batch-tokens 4000
TRAIN ?= --dropout 0.3 --schedule linear --learning-rate 0.001 --warmup 200 --steps 2000 --batch-tokens 1500 --validate-every 100

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

tokenizer := $(if $(FROM),$(FROM),$(OUT)/tok.model)
$(OUT)/tok.model: $(TEXT) $(UNLABELLED) | $(OUT)
	tokenize --train --type unigram --vocab-size $(VOCABULARY) -o $@ $(sort $(TEXT) $(UNLABELLED))

$(OUT)/unlabelled.npy: $(UNLABELLED) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $(UNLABELLED) -o $@
$(OUT)/train.npy: $(TEXT) $(tokenizer) | $(OUT)
	tokenize -m $(tokenizer) $(TEXT) -o $@
$(OUT)/valid.npy: $(VALID) $(tokenizer) | $(OUT)
	tokenize -m $(tokenizer) $(VALID) -o $@

# An interrupted make goes on where it was. A model gets its name when its training is done; then new data begin anew.
$(OUT)/masked.h5: $(OUT)/unlabelled.npy $(OUT)/valid.npy
	train --task masked-language-model --source $< --valid-source $(OUT)/valid.npy --tokenizer $(OUT)/tok.model $(MODEL) $(MASKED) \
	  --resume --log $(OUT)/masked.tsv -o $(OUT)/best-masked.h5
	rm -f $(OUT)/best-masked.h5.checkpoint.h5
	mv $(OUT)/best-masked.h5 $@

from := $(if $(FROM),$(FROM),$(if $(filter yes,$(PRETRAIN)),$(OUT)/masked.h5))
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(LABELS) $(VALID_LABELS) $(from)
	train --task classification --source $< --labels $(LABELS) --valid-source $(OUT)/valid.npy --valid-labels $(VALID_LABELS) \
	  $(if $(from),--from $(from),--tokenizer $(OUT)/tok.model $(MODEL)) $(TRAIN) --metric accuracy --resume --log $(OUT)/train.tsv \
	  -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/valid.hyp: $(VALID) $(OUT)/model.h5
	tokenize -m $(OUT)/model.h5 $< | classify -m $(OUT)/model.h5 --names > $@

score: $(OUT)/valid.hyp
	score --metric accuracy --reference $(VALID_LABELS) $<
