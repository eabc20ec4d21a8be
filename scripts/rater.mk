# A number for each pair of texts, as a Makefile: a tokenizer, training, the numbers of a test set and their correlation with the right
# ones. Semantic similarity is such a task (Cer et al. 2017; Devlin et al. 2019, section 4.1).
#
#   scripts/make-similar similar
#   make -f scripts/rater.mk TRAIN=similar/train VALID=similar/valid TEST=similar/heldout
#
# TRAIN, VALID and TEST name files with a line for each pair: NAME.first, NAME.second, and NAME.similarity, a number. FROM is an encoder
# to begin with (an imported BERT, say), which has its own tokenizer. Another choice of variables needs another OUT. The tools are
# looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,TRAIN VALID TEST,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/rater
FROM ?=
VOCABULARY ?= 200
MODEL ?= --width 96 --heads 4 --inner 192 --encoder-layers 3 --token-types 2 --positions rotary --norm-position pre --activation gelu
SETTINGS ?= --schedule linear --learning-rate 0.002 --warmup 200 --steps 1500 --batch-tokens 4000 --dropout 0 --validate-every 250

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

tokenizer := $(if $(FROM),$(FROM),$(OUT)/tok.json)
$(OUT)/tok.json: $(TRAIN).first $(TRAIN).second | $(OUT)
	tokenize --train --type wordpiece --vocab-size $(VOCABULARY) -o $@ $^

# Pairs, and beside the ids which text each one is of.
pairs = tokenize -m $(tokenizer) --pair $(1).second --types $(OUT)/$(2).types.npy $(1).first
$(OUT)/train.npy: $(TRAIN).first $(TRAIN).second $(tokenizer) | $(OUT)
	$(call pairs,$(TRAIN),train) -o $@
$(OUT)/valid.npy: $(VALID).first $(VALID).second $(tokenizer) | $(OUT)
	$(call pairs,$(VALID),valid) -o $@
$(OUT)/test.npy: $(TEST).first $(TEST).second $(tokenizer) | $(OUT)
	$(call pairs,$(TEST),test) -o $@

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(TRAIN).similarity $(VALID).similarity
	train --task regression --source $< --types $(OUT)/train.types.npy --target-values $(TRAIN).similarity \
	  --valid-source $(OUT)/valid.npy --valid-types $(OUT)/valid.types.npy --valid-target-values $(VALID).similarity \
	  $(if $(FROM),--from $(FROM),--tokenizer $(tokenizer) $(MODEL)) $(SETTINGS) --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.values.npy: $(OUT)/test.npy $(OUT)/model.h5
	classify -m $(OUT)/model.h5 --types $(OUT)/test.types.npy $< -o $@

score: $(OUT)/test.values.npy
	score --metric pearson --metric spearman --metric mse --reference $(TEST).similarity $<
