/// What reading a checkpoint and checking one that was written share.
#pragma once
#include <string>
#include <vector>

#include "import/family.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {

/// The parameters that a configuration has.
Shapes parameters_of(const Configuration&);

/// Fills an Exchange for reading: the family's function, then the key `pipeformer` of config.json, where an export
/// says settings of use that the family has no key for.
void read_tower(Exchange&, const FamilyTower&);
/// Whether a hyper-parameter says how a model is used, and no matrix or vector in it depends on it.
bool is_setting_of_use(const std::string& name, const Configuration&);

/// What a tokenizer says about a model: the id that hides another one. Throws Error when it has more ids than the model
/// has embeddings.
void take_tokenizer(Configuration&, const Tokenizer&, const std::string& where);

/// Checks that rows and parameters are the same set, and that their tensors are there.
void match_parameters(const Exchange&, const Shapes& parameters, const std::string& where);

/// The first twelve of a list, and how many more there are.
std::string list_of(const std::vector<std::string>& names);

}  // namespace pipeformer
