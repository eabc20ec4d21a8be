// For the tests of lib/io: reads a checkpoint's tensors and writes them as safetensors, with --floats widened to F32.
#include <iostream>
#include <string_view>

#include "core/error.hpp"
#include "io/safetensors.hpp"
#include "io/tensor_folder.hpp"

using namespace pipeformer;

int main(int argc, char** argv) {
  try {
    require(argc >= 3, "usage: tensor_probe CHECKPOINT OUT.safetensors [--floats]");
    const TensorFolder folder(argv[1]);
    const bool floats = argc > 3 && std::string_view(argv[3]) == "--floats";
    std::vector<NewTensor> tensors;
    for (const std::string& name : folder.names()) {
      const StoredTensor tensor = folder.tensor(name);
      tensors.push_back({name, floats && is_floating(tensor.type) ? TensorType::F32 : tensor.type, tensor.shape});
    }
    SafetensorsWriter writer(argv[2], tensors);
    Buffer<std::byte> elements;
    for (const NewTensor& written : writer.tensors()) {
      const StoredTensor tensor = folder.tensor(written.name);
      elements.resize(static_cast<std::size_t>(tensor.size()) * tensor_type_size(written.type));
      if (floats && is_floating(tensor.type)) {
        tensor.read_floats(reinterpret_cast<float*>(elements.data()));
      } else {
        tensor.read(elements.data());
      }
      writer.write(elements);
    }
    writer.close();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
