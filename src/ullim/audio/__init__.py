"""Read recordings: any common format in, mono float32 at one sampling rate out.

One road leads from bytes to samples, and :func:`read` and :func:`stream` both take it: the content
is recognised, the header is held against :class:`Limits`, the file is decoded block by block, the
channels are averaged, the samples are checked, and the blocks are resampled. WAV, FLAC, Ogg
(Vorbis, Opus), MP3, AIFF and AU need nothing more; WebM, M4A, AMR, WMA and others need
``pip install "ullim[media]"``.

Every failure is an :class:`~ullim.errors.AudioError` that names the file, with one of the codes

=====================  ==================================================================
``not_found``          no such file
``is_directory``       a folder, not a file
``permission``         the file may not be read
``empty``              no bytes, or no samples
``too_short``          shorter than ``Limits.min_duration_s``
``silent``             nothing above -80 dBFS but a constant
``not_finite``         NaN or infinite samples
``truncated``          cut or damaged: ends before its header says, or breaks while decoding
``wrong_extension``    the content is of another format than the suffix says
``not_audio``          no audio that is known, or no audio track
``too_large``          more than ``Limits.max_bytes``
``too_long``           more than ``Limits.max_duration_s``
``too_many_channels``  more than ``Limits.max_channels``
``unsupported_rate``   a sampling rate outside ``Limits``
``too_costly``         its header asks for more memory than there is
``bad_range``          ``start_s`` and ``end_s`` do not lie within the recording
=====================  ==================================================================
"""

from ullim.audio.limits import Limits
from ullim.audio.reading import AUDIO_SUFFIXES, blocks, read, stream
from ullim.audio.samples import Resampler, check_samples

__all__ = ["AUDIO_SUFFIXES", "Limits", "Resampler", "blocks", "check_samples", "read", "stream"]
