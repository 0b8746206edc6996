// A client whose types are generated from the OpenAPI document: the way of docs/client.md, type-checked.
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./api.js";

type Session = components["schemas"]["SessionStatus"];
type Lane = Session["lane"];

export class RefusedError extends Error {
  constructor(readonly problem: components["schemas"]["Problem"]) {
    super(problem.message);
  }
}

const asForm = (fields: object): FormData => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value as string | Blob);
  return form;
};

export function connect(baseUrl: string, key?: string): Client<paths> {
  return createClient<paths>({ baseUrl, headers: key ? { Authorization: `Bearer ${key}` } : {} });
}

export async function upload(api: Client<paths>, image: Blob): Promise<string> {
  const { data, error } = await api.POST("/api/avatar/upload", {
    body: { image_file: image as unknown as string, preprocess_mode: "crop" },
    bodySerializer: asForm,
  });
  if (error) throw new RefusedError(error.error);
  return data.image_id;
}

export async function generate(api: Client<paths>, lane: Lane, imageId: string, audio: Blob): Promise<string> {
  const { data, error } = await api.POST("/api/{lane}/generate", {
    params: { path: { lane }, header: { "Idempotency-Key": crypto.randomUUID() } },
    body: {
      image_id: imageId,
      audio_file: audio as unknown as string,
      preprocess_mode: "crop",
      quality: "high",
      fps: 25,
      enhancer: "none",
      user_data: "order 17",
    },
    bodySerializer: asForm,
  });
  if (error) throw new RefusedError(error.error);
  return data.session_id;
}

export async function ended(api: Client<paths>, lane: Lane, sessionId: string): Promise<Session> {
  for (;;) {
    const { data, error } = await api.GET("/api/{lane}/status/{session_id}", {
      params: { path: { lane, session_id: sessionId }, query: { wait: 60 } },
    });
    if (error) throw new RefusedError(error.error);
    if (data.status !== "queued" && data.status !== "generating") return data;
  }
}

export async function download(api: Client<paths>, lane: Lane, sessionId: string): Promise<Blob> {
  const { data, error } = await api.GET("/api/{lane}/download/{session_id}", {
    params: { path: { lane, session_id: sessionId } },
    parseAs: "blob",
  });
  if (error) throw new RefusedError(error.error);
  return data as unknown as Blob;
}
