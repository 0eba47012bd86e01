# Writes OUTPUT: a C++ file with the files of FOLDER as the table page_files().
file(GLOB files ${FOLDER}/*)
list(SORT files)
set(rows "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  file(SHA256 ${file} digest)
  string(SUBSTRING ${digest} 0 32 digest)
  file(READ ${file} text)
  string(FIND "${text}" ")~~~\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${file} holds )~~~\", which ends a piece of it. Write that otherwise")
  endif()
  # In pieces: compilers need not take literals of more than 64 KiB.
  string(LENGTH "${text}" length)
  set(at 0)
  set(pieces "")
  while(at LESS length)
    string(SUBSTRING "${text}" ${at} 8000 piece)
    string(APPEND pieces "R\"~~~(${piece})~~~\"\n")
    math(EXPR at "${at} + 8000")
  endwhile()
  string(APPEND rows "      {\"${name}\",\n${pieces}, \"\\\"${digest}\\\"\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Generated from the files of services/web/page.
#include \"services/web/page.hpp\"

namespace troupe::services {

std::span<const PageFile> page_files() {
  static constexpr PageFile kFiles[] = {
${rows}  };
  return kFiles;
}

}  // namespace troupe::services
")
