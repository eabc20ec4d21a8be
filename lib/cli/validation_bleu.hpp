/// For --metric bleu: translations of the validation sources, compared with references.
#pragma once
#include <functional>

#include "cli/training_start.hpp"

namespace pipeformer {

/// The BLEU that a model reaches. Null for other metrics. Throws Error unless references and sources pair.
std::function<double(const Transformer&)> bleu_of_validation(const Args&, const TrainingStart&);

}  // namespace pipeformer
