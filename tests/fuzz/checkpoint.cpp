// Checkpoints of training: one that can be resumed goes on for a step.
#include <filesystem>

#include "fuzz.hpp"
#include "train/trainer.hpp"

using namespace pipeformer;

namespace {

/// Pairs of one token each.
class Pairs : public Examples {
 public:
  Pairs() { all_ = {0, 1, 2}; }
  std::int64_t tokens(std::int64_t) const override { return 2; }
  void append(std::int64_t, std::uint64_t, ExampleBatch& batch) const override {
    batch.source_ids.push_back(0);
    batch.source_offsets.push_back(static_cast<std::int64_t>(batch.source_ids.size()));
    batch.target_ids.insert(batch.target_ids.end(), {0, 0});
    batch.labels.insert(batch.labels.end(), {0, 0});
    batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
  }
};

}  // namespace

void fuzz(std::span<const std::byte> bytes) {
  const test::MemoryFile file(bytes);
  std::optional<ModelFile> model(std::in_place, file.path());
  const Configuration configuration = model->configuration();
  if (!configuration.has_encoder() || !configuration.has_decoder() || configuration.reads_vectors()) return;
  const Transformer complete(*model, configuration);  // the arena below is no larger than the file then

  // Pid: several fuzzers run at once. Files are replaced at each step.
  const std::string out = cat("/dev/shm/pipeformer-fuzz-", ::getpid(), ".h5");
  const std::string checkpoint = out + ".checkpoint.h5";
  model.reset();
  std::filesystem::copy_file(file.path(), checkpoint, std::filesystem::copy_options::overwrite_existing);
  struct Remove {
    const std::string &out, &checkpoint;
    ~Remove() { std::filesystem::remove(out), std::filesystem::remove(checkpoint); }
  } const remove{out, checkpoint};

  const Pairs examples;
  TrainingSettings settings;
  settings.batches.tokens = 4;
  settings.max_epochs = 100;
  const auto alone = Communicator::open();
  Trainer trainer(configuration, settings, {out, checkpoint, "", "", {}}, examples, nullptr, *alone);
  trainer.resume();
  trainer.run({nullptr, nullptr, [] { return true; }});
}
