# How much a translator needs each of its heads (Michel, Levy, Neubig 2019): BLEU with one head taken out at a time, computed in parallel.
#
#   make -j 2 -f scripts/ablate-heads.mk MODEL=model.h5 SRC=heldout.src REF=heldout.ref [OUT=build/heads] [BEAM=1]
#
# OUT/heads.tsv has a line for each head: attention, head, BLEU without it, and the difference from BLEU with all of them.
OUT ?= build/heads
BEAM ?= 1
ifeq ($(and $(MODEL),$(SRC),$(REF)),)
$(error MODEL, SRC or REF is not set)
endif
# encoder/0/self_attn/weights (4, T, T) -> encoder.0.self_attn@0 ... encoder.0.self_attn@3
HEADS := $(shell decode -m $(MODEL) --list-taps | awk -F'[\t,]' '/_attn\/weights/ { sub("/weights", "", $$1); gsub("/", ".", $$1); n = substr($$2, 2); for (h = 0; h < n; ++h) print $$1 "@" h }')
translate = decode -q -m $(MODEL) --beam $(BEAM) -j 1 $(OUT)/source.npy $(1) | tokenize -m $(MODEL) --decode | score --quiet --reference $(REF) > $@.part && mv $@.part $@

$(OUT)/heads.tsv: $(OUT)/all.bleu $(HEADS:%=$(OUT)/%.bleu)
	for head in $(HEADS); do \
	  awk -v name="$${head%@*}" -v head="$${head#*@}" 'NR == FNR { all = $$1; next } { gsub("[.]", "/", name); printf "%s\t%s\t%s\t%.6f\n", name, head, $$1, $$1 - all }' $< "$(OUT)/$$head.bleu"; \
	done | sort -t '	' -k 4,4g > $@.part && mv $@.part $@
$(OUT)/source.npy: $(SRC) $(MODEL)
	mkdir -p $(OUT) && tokenize -m $(MODEL) $(SRC) -o $@
$(OUT)/all.bleu: $(OUT)/source.npy $(REF)
	$(call translate,)
$(OUT)/%.bleu: $(OUT)/source.npy $(REF)
	$(call translate,--ablate '$(subst .,/,$(firstword $(subst @, ,$*)))/context[;;$(lastword $(subst @, ,$*))]')
.DELETE_ON_ERROR:
