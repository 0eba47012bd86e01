// Copies of weights in memory of this process, which take the place of the pages of their files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/expected.hpp"
#include "model/checkpoint/mapped_files.hpp"

namespace troupe::model {

/// Mapped bytes lie where the page cache has put them: where a machine has several memory nodes
/// perhaps not on that of the cores that read them, and in small pages where the file system has no
/// large ones. A copy lies where the threads that make it run, in large pages where the system
/// gives them. It comes to the addresses of what it copies, so whoever points there notices
/// nothing.
///
/// Copied are whole pages: those that hold some of the parts, and those between two of them that
/// are less than kCopiedGapBytes apart, for every range is a mapping of its own and a process may
/// not have many. What else a page holds is in its copy, too. What is forgotten (`forget`) of a
/// range is zeros from then on, so `ranges` are what `forget_but` has to keep, and a tensor that is
/// not a part is forgotten by `forget_tensor`.
class WeightCopies {
 public:
  /// Takes address space for copies of those of `parts` that are in `file`, which must outlive
  /// this. *Errors*: `resource_exhausted`, with the size, where the system does not give it.
  static Expected<WeightCopies> reserve(const MappedFile& file,
                                        std::span<const std::span<const std::byte>> parts,
                                        bool huge_pages);
  WeightCopies(WeightCopies&& other) noexcept;
  WeightCopies& operator=(WeightCopies&&) = delete;
  ~WeightCopies();

  /// What is copied, ascending.
  std::vector<std::span<const std::byte>> ranges() const;
  std::uint64_t bytes() const;
  /// What one call of `fill` reads, a few MiB at most.
  std::size_t pieces() const { return pieces_.size(); }
  std::size_t bytes_of(std::size_t piece) const { return pieces_[piece].count; }
  /// Reads a piece from the file. *Errors*: as `MappedFile::read`. *Threading*: any, one a piece.
  Expected<void> fill(std::size_t piece) const;
  /// After all of them. *Errors*: `resource_exhausted` when the process may not have as many
  /// mappings; then some parts are copies and the others mapped, which reads the same.
  Expected<void> put_in_place();

 private:
  struct Range {
    std::span<const std::byte> mapped;  // whole pages
    std::byte* copy = nullptr;          // null: in its place
  };
  struct Piece {
    std::size_t range = 0;
    std::size_t first = 0;
    std::size_t count = 0;
  };

  explicit WeightCopies(const MappedFile& file) : file_(&file) {}
  bool take(std::span<const std::byte> pages, bool huge_pages);

  const MappedFile* file_;
  std::vector<Range> ranges_;
  std::vector<Piece> pieces_;
};

/// Before so many ranges are copied. *Errors*: `resource_exhausted` where the process would come
/// too near to the mappings that the system allows it (vm.max_map_count).
Expected<void> check_mappings(std::size_t ranges);

}  // namespace troupe::model
