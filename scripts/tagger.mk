# A tagger of words, as a Makefile: a tokenizer, training, and the tags of a test set (Devlin et al. 2019, section 5.3).
#
#   make -f scripts/tagger.mk TEXT=train.txt TAGS=train.tags VALID=dev.txt VALID_TAGS=dev.tags TEST=test.txt TEST_TAGS=test.tags OUT=build/tags
#
# TEXT has a sentence on each line, TAGS a tag for each of its words, which white space separates. FROM is an encoder to begin with
# (an imported BERT, say), which has its own tokenizer. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,TEXT TAGS VALID VALID_TAGS TEST TEST_TAGS,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/tagger
FROM ?=
VOCABULARY ?= 400
MODEL ?= --width 128 --heads 4 --inner 256 --encoder-layers 3
TRAIN ?= --schedule linear --learning-rate 0.002 --warmup 100 --steps 1000 --batch-tokens 2000 --dropout 0.1 --validate-every 100

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

tokenizer := $(if $(FROM),$(FROM),$(OUT)/tok.model)
$(OUT)/tok.model: $(TEXT) | $(OUT)
	tokenize --train --type unigram --vocab-size $(VOCABULARY) -o $@ $(TEXT)

# The ids, and beside them the number of the word that each one belongs to.
$(OUT)/train.npy: $(TEXT) $(tokenizer) | $(OUT)
	tokenize -m $(tokenizer) --words $(OUT)/train.words.npy $(TEXT) -o $@
$(OUT)/valid.npy: $(VALID) $(tokenizer) | $(OUT)
	tokenize -m $(tokenizer) --words $(OUT)/valid.words.npy $(VALID) -o $@
$(OUT)/test.npy: $(TEST) $(tokenizer) | $(OUT)
	tokenize -m $(tokenizer) --words $(OUT)/test.words.npy $(TEST) -o $@

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(TAGS) $(VALID_TAGS)
	train --task tagging --source $< --words $(OUT)/train.words.npy --labels $(TAGS) --valid-source $(OUT)/valid.npy \
	  --valid-words $(OUT)/valid.words.npy --valid-labels $(VALID_TAGS) $(if $(FROM),--from $(FROM),--tokenizer $(tokenizer) $(MODEL)) \
	  $(TRAIN) --metric accuracy --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.hyp: $(OUT)/test.npy $(OUT)/model.h5
	tag -m $(OUT)/model.h5 --words $(OUT)/test.words.npy --names $< > $@

# Entities as conlleval counts them: those whose words and kind are right, of all that were found and of all there are.
score: $(OUT)/test.hyp
	score --metric entity --reference $(TEST_TAGS) $<
