/// Checkpoint averaging: the mean of several models of one training run often does better than the last of them
/// (Vaswani et al. 2017, section 6.1).
#pragma once
#include <string>
#include <vector>

namespace pipeformer {

/// Makes the model file `output` ("-" is standard output) from model files, of which there is at least one: every
/// parameter (a logit_scale too) is the arithmetic mean of theirs, summed in float64 in the given order and rounded
/// once; of files of several models (CLIP's towers) each is averaged. The configuration and the texts (tokenizer, names
/// of classes) are those of the first. Checkpoints of a training run are models too; their `training` group is left
/// out. Throws Error naming the first file that is no whole model or whose configuration differs from that of the
/// first.
void average_models(const std::vector<std::string>& paths, const std::string& output);

}  // namespace pipeformer
