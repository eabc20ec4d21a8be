#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ops/instruction_set.hpp"

int main(int argc, char** argv) {
  const char* wanted = std::getenv("PIPEFORMER_ISA");
  if (wanted && std::strcmp(wanted, pipeformer::instruction_set()) != 0) {
    std::printf("this processor has no %s\n", wanted);
    return 77;  // skipped, for CTest
  }
  return Catch::Session().run(argc, argv);
}
