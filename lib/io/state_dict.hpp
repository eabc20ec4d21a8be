/// State dicts as torch.save writes them (pytorch_model.bin): a zip archive with a pickle (data.pkl) and a stored entry
/// for each storage (since PyTorch 1.6), or several pickles and the storages one after another (before). Nothing is
/// ever executed (io/pickle.hpp).
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "io/tensor_table.hpp"

namespace pipeformer {

/// The tensors of a state dict, in its order: a dictionary from names to tensors and nothing else. Every tensor lies
/// within its storage; several may share one. Throws Error, without the file's name.
std::vector<TensorEntry> read_state_dict_table(std::span<const std::byte> file);

/// True when bytes begin as either form begins.
bool looks_like_state_dict(std::span<const std::byte>);

}  // namespace pipeformer
