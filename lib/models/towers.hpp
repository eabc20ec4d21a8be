/// Models that are trained together: one, or the towers of a file of several (Radford et al. 2021, CLIP), each below a
/// group of its own.
#pragma once
#include <string>
#include <vector>

#include "models/model_file.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

struct Tower {
  std::string group;  ///< "": the model is alone.
  Configuration configuration;
  ModelTexts texts;
  /// What the names of its parameters begin with.
  std::string before() const { return group.empty() ? "" : group + "/"; }
};

/// The logarithm of what the products of vectors are multiplied by, a parameter () beside models whose vectors are
/// compared.
constexpr const char* kLogitScale = "logit_scale";

/// Whether the towers are trained by comparing their vectors: they predict nothing.
bool compares_vectors(const std::vector<Tower>&);

/// Builds each from its group of the source, and asks for logit_scale where vectors are compared.
std::vector<Transformer> build_towers(ParameterSource&, const std::vector<Tower>&);

/// Builds the model of a file, and asks for its logit_scale where it has one: all parameters that the file holds.
Transformer build_stored(ParameterSource&, const ModelFile&);

/// Writes hyper-parameters and texts into a file being made; its parameters are those that build_towers asks for.
void write_tower_heads(Hdf5File&, const std::vector<Tower>&);

/// The models of an address: the one that it names, or all of a file of several, those that read vectors first.
std::vector<ModelFile> open_towers(const std::string& address);

}  // namespace pipeformer
