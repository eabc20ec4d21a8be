/// A model with the paper's positions, sines and cosines in turn, as one with all sines before all cosines, which is
/// what published families have: the same numbers in another order of columns, of everything that is as wide as the
/// model. What it computes is the same but for the order of sums.
#pragma once
#include <string>

#include "import/tensor_rows.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// Whether every stack has sines and cosines in turn, in a model of which halve_sinusoids() knows all parameters.
bool can_halve_sinusoids(const Configuration&);
/// The configuration afterwards.
void halve_sinusoids(Configuration&);
/// Puts the elements of a parameter into the other order, along the axes that are as wide as the model.
void halve_sinusoids(const std::string& parameter, Elements&);

}  // namespace pipeformer
