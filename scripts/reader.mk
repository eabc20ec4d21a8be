# A reader that answers questions by a span of a text, as a Makefile: a tokenizer, training, the answers to a test set (Devlin et al.
# 2019, section 4.2).
#
#   scripts/make-questions questions
#   make -f scripts/reader.mk TRAIN=questions/train VALID=questions/valid TEST=questions/heldout
#
# TRAIN, VALID and TEST name files with a line for each question: NAME.question, NAME.text that it is about, NAME.span, the characters
# of the text that answer it ("12 15": from which and before which; nothing: no answer), and for TEST NAME.answer, these characters. FROM
# is an encoder to begin with (an imported BERT, say), which has its own tokenizer. Another choice of variables needs another OUT. The
# tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,TRAIN VALID TEST,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/reader
FROM ?=
VOCABULARY ?= 500
MODEL ?= --width 96 --heads 4 --inner 192 --encoder-layers 3 --token-types 2 --positions rotary --norm-position pre --activation gelu
SETTINGS ?= --schedule linear --learning-rate 0.003 --warmup 300 --steps 2000 --batch-tokens 4000 --dropout 0 --validate-every 250

.PHONY: all score
all: score

$(OUT):
	mkdir -p $@

tokenizer := $(if $(FROM),$(FROM),$(OUT)/tok.json)
$(OUT)/tok.json: $(TRAIN).question $(TRAIN).text | $(OUT)
	tokenize --train --type wordpiece --vocab-size $(VOCABULARY) -o $@ $^

# Pairs, and beside the ids which text each one is of, and where it stands in it.
pairs = tokenize -m $(tokenizer) --pair $(1).text --types $(OUT)/$(2).types.npy --offsets $(OUT)/$(2).offsets.npy $(1).question
$(OUT)/train.npy: $(TRAIN).question $(TRAIN).text $(tokenizer) | $(OUT)
	$(call pairs,$(TRAIN),train) -o $@
$(OUT)/valid.npy: $(VALID).question $(VALID).text $(tokenizer) | $(OUT)
	$(call pairs,$(VALID),valid) -o $@
$(OUT)/test.npy: $(TEST).question $(TEST).text $(tokenizer) | $(OUT)
	$(call pairs,$(TEST),test) -o $@

# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy $(TRAIN).span $(VALID).span
	train --task spans --source $< --types $(OUT)/train.types.npy --offsets $(OUT)/train.offsets.npy --labels $(TRAIN).span \
	  --valid-source $(OUT)/valid.npy --valid-types $(OUT)/valid.types.npy --valid-offsets $(OUT)/valid.offsets.npy --valid-labels $(VALID).span \
	  $(if $(FROM),--from $(FROM),--tokenizer $(tokenizer) $(MODEL)) $(SETTINGS) --metric accuracy --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.hyp: $(OUT)/test.npy $(OUT)/model.h5 $(TEST).text
	answer -m $(OUT)/model.h5 --types $(OUT)/test.types.npy --offsets $(OUT)/test.offsets.npy --texts $(TEST).text $< > $@

# Exact match: the share of the answers that are right to the character.
score: $(OUT)/test.hyp
	score --metric accuracy --reference $(TEST).answer $<
