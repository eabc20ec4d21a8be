/// Workspace: memory for the intermediates of a forward (and backward) pass. Allocation moves a pointer; release()
/// takes back all that came after a mark. Once it has grown to the largest batch, a steady loop allocates nothing.
#pragma once
#include <cstdint>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

class Workspace {
 public:
  struct Mark {
    std::size_t block = 0, used = 0;
  };

  /// n elements of T, uninitialised, 64-byte aligned, valid until released.
  template <class T = float>
  T* get(std::int64_t n) {
    return reinterpret_cast<T*>(take(static_cast<std::size_t>(n) * sizeof(T)));
  }
  float* zeros(std::int64_t n);

  Mark mark() const { return {block_, used_}; }
  void release(Mark);
  void clear() { release({}); }

 private:
  std::byte* take(std::size_t bytes);
  std::vector<Buffer<std::byte>> blocks_;
  std::size_t block_ = 0, used_ = 0;
};

/// Releases at the end of a scope what was allocated in it.
class WorkspaceScope {
 public:
  explicit WorkspaceScope(Workspace& workspace) : workspace_(workspace), mark_(workspace.mark()) {}
  ~WorkspaceScope() { workspace_.release(mark_); }
  WorkspaceScope(const WorkspaceScope&) = delete;
  WorkspaceScope& operator=(const WorkspaceScope&) = delete;

 private:
  Workspace& workspace_;
  Workspace::Mark mark_;
};

}  // namespace pipeformer
