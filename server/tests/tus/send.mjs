// Sends a file by tus-js-client, or goes on with it: endpoint, token, file, where the upload's address is kept, and in how
// many partial uploads at once.
import fs from 'node:fs'

const { Upload } = await import(process.env.TUS_JS_CLIENT)
const [endpoint, token, file, kept, parallel] = process.argv.slice(2)
const url = fs.existsSync(kept) ? fs.readFileSync(kept, 'utf8') : null
const upload = new Upload(fs.createReadStream(file), {
  endpoint,
  uploadUrl: url,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: 'film.mkv' },
  parallelUploads: Number(parallel),
  retryDelays: Array(20).fill(500),
  onUploadUrlAvailable: () => upload.url && fs.writeFileSync(kept, upload.url),
  onShouldRetry: () => true,
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess: () => fs.writeFileSync(kept, upload.url),
})
upload.start()
