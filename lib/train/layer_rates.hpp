/// Rates that fall from layer to layer, for fine-tuning: what is nearer to the input knows what is more general, and is
/// changed less (Howard, Ruder 2018, section 3.2; Clark et al. 2020, ELECTRA, appendix A).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/towers.hpp"

namespace pipeformer {

/// (name of a parameter, factor of its rate): layer i of a stack of L has decay^(L - i), what comes before its layers
/// decay^(L + 1), what comes after them, which is left out, 1. An embedding that both stacks share counts by the deeper
/// one.
std::vector<std::pair<std::string, double>> layer_rates(const std::vector<Tower>&, double decay);

}  // namespace pipeformer
