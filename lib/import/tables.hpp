/// A model whose sinusoidal positions are computed and whose embeddings are scaled, as one with a table of positions
/// and embeddings that are scaled already, which is what most published families have: what it computes has the same
/// bits, up to the last position of the table.
#pragma once
#include <functional>
#include <string>

#include "import/tensor_rows.hpp"
#include "models/configuration.hpp"

namespace pipeformer {

/// Whether there is something to put into tables. Embeddings that two stacks share keep their scale.
bool can_be_in_tables(const Configuration&);
/// The configuration afterwards, with tables of so many positions.
void put_in_tables(Configuration&, std::int64_t positions);
/// The name of the parameter that a parameter of put_in_tables(c) is made of; empty for a table of positions.
std::string table_source(const Configuration& c, const std::string& parameter);
/// Its elements, float32 where they are computed. `read` gives those of a parameter of c.
Elements in_tables(const Configuration& c, std::int64_t positions, const std::string& parameter,
                   const std::function<Elements(const std::string&)>& read);

}  // namespace pipeformer
